from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from softloc.errors import AnnotationError, AudioError
from softloc.rendering.kits import decode, find_onset, load_pack


def test_kits_keep_to_their_split(kits):
    pack = load_pack(kits)
    families = {
        split: {drum.family for drum in pack.select(split, ("A", "B", "P")).drums}
        for split in ("train", "valid", "test")
    }
    assert families == {
        "train": {"colours", "greens", "greys"},
        "valid": {"blues"},
        "test": {"whites"},
    }


def test_tiers_are_kept_apart(kits):
    drums = load_pack(kits).select("train", ("A", "B")).drums
    assert {drum.kit for drum in drums} == {"red", "green"}


def test_layers_become_one_drum_from_soft_to_loud(kits):
    (snare,) = [d for d in load_pack(kits).articulation("snare") if d.kit == "red"]
    assert [s.source_peak_db for s in snare.samples] == [-20, -10, 0]
    assert snare.span_db == 20


@pytest.mark.parametrize("velocity", [0.5, 1, 30, 42.9, 64, 100, 127, 131])
def test_a_drum_with_several_samples_always_offers_two(kits, velocity):
    for drum in load_pack(kits).drums:
        offered = drum.candidates(velocity)
        assert len(offered) >= min(2, len(drum.samples))
        assert all(0 <= index < len(drum.samples) for index in offered)


def test_takes_of_an_acoustic_drum_are_joined_but_not_machine_sounds(
    tmp_path, write_kits, write_manifest
):
    rows = write_kits(tmp_path)
    kick = next(row for row in rows if row["path"] == "red/kick_x_l1of1.flac")
    audio, rate = sf.read(tmp_path / kick["path"])
    for name in ("crash_open1_l1of1", "crash_open2_l1of1", "crash_k49_l1of1", "crash_k57_l1of1"):
        sf.write(tmp_path / f"red/{name}.flac", audio, rate)
        rows.append(
            kick
            | {
                "path": f"red/{name}.flac",
                "articulation": "crash",
                "class": "CY",
                "source_peak_db": str(-len(rows)),
            }
        )
    write_manifest(tmp_path, rows)
    drums = [d for d in load_pack(tmp_path).articulation("crash") if d.kit == "red"]
    assert sorted(len(drum.samples) for drum in drums) == [1, 1, 1, 2]
    joined = next(drum for drum in drums if len(drum.samples) == 2)
    assert [s.velocity_hi for s in joined.samples] == [63, 127]
    assert joined.samples[0].source_peak_db < joined.samples[1].source_peak_db
    for row in rows:
        row["type"] = "electronic"
    write_manifest(tmp_path, rows)
    drums = [d for d in load_pack(tmp_path).articulation("crash") if d.kit == "red"]
    assert all(len(drum.samples) == 1 for drum in drums)


def test_the_onset_of_a_file_is_its_first_sample_at_minus_30_db(kits, burst):
    sample = load_pack(kits).drums[0].samples[0]
    assert find_onset(decode(sample)) == 88
    quiet_before = burst(3)
    quiet_before[80:88] = 0.02  # -33 dB
    assert find_onset(quiet_before) == 88


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "training"}, "unknown split 'training'"),
        ({"source_peak_db": "loud"}, "source_peak_db is not a number: 'loud'"),
        ({"source_peak_db": "nan"}, "source_peak_db must be finite"),
        ({"velocity_lo": "90", "velocity_hi": "20"}, "velocities must rise"),
        ({"path": "red/nothing.flac"}, "there is no file"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, write_kits, write_manifest, change, message):
    rows = write_kits(tmp_path)
    rows[4] |= change
    write_manifest(tmp_path, rows)
    with pytest.raises(AnnotationError, match=rf"manifest\.csv:6: .*{message}"):
        load_pack(tmp_path)


def test_a_manifest_without_a_column_or_with_a_short_row_is_refused(tmp_path, write_kits):
    write_kits(tmp_path)
    manifest = tmp_path / "manifest.csv"
    good = manifest.read_text()
    manifest.write_text(good.replace("family", "clan", 1))
    with pytest.raises(AnnotationError, match=r"manifest\.csv:1: no column family"):
        load_pack(tmp_path)
    manifest.write_text(good + "red/kick_x_l1of1.flac,red\n")
    with pytest.raises(AnnotationError, match=r"manifest\.csv:\d+: the row has more or fewer"):
        load_pack(tmp_path)
    manifest.write_text(good.splitlines()[0] + "\n")
    with pytest.raises(AnnotationError, match="lists no samples"):
        load_pack(tmp_path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"cannot read .*manifest\.csv"):
        load_pack(tmp_path)


def test_audio_of_another_format_is_refused(tmp_path, write_kits):
    write_kits(tmp_path)
    sample = load_pack(tmp_path).drums[0].samples[0]
    sf.write(sample.path, np.zeros((100, 2)) + 0.1, 48_000)
    with pytest.raises(AudioError, match="2 channels at 48000 Hz"):
        decode(sample)
    sf.write(sample.path, np.zeros(100), 44_100)
    with pytest.raises(AudioError, match="is silent"):
        decode(sample)
    sample.path.write_text("no audio")
    with pytest.raises(AudioError, match="cannot read"):
        decode(sample)
