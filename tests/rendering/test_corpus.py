from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from benchmarks.drums import render
from softloc.formats.corpus import read_corpus
from softloc.rendering.grooves import load_grooves
from softloc.rendering.kits import load_pack
from softloc.rendering.mixing import SampleBank
from softloc.rendering.performance import PerformanceSettings
from softloc.rendering.scene import SceneSettings, render_scene

SHORT = SceneSettings(
    performance=PerformanceSettings(duration_range_s=(3.0, 5.0), section_range_s=(1.0, 3.0))
)


@pytest.fixture
def short_scenes(monkeypatch):
    monkeypatch.setattr(render, "SceneSettings", lambda: SHORT)


@pytest.fixture
def command(short_scenes, kits, grooves):
    def run(folder, *options, minutes=0.2, seed=0):
        return render.main(
            [
                *("--minutes", str(minutes), "--seed", str(seed), "-o", str(folder)),
                *("--kits", str(kits), "--grooves", str(grooves), *options),
            ]
        )

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("audio/*"))}


def test_equal_generators_give_equal_scenes(kits, grooves):
    pack = load_pack(kits).select("train", ("A", "B"))
    index = [g for g in load_grooves(grooves) if g.split == "train"]
    bank = SampleBank()
    render_scene(np.random.default_rng(99), pack, index, SHORT, bank)
    one = render_scene(np.random.default_rng(5), pack, index, SHORT, bank)
    two = render_scene(np.random.default_rng(5), pack, index, SHORT, SampleBank())
    np.testing.assert_array_equal(one.audio, two.audio)
    assert one.onsets == two.onsets
    assert np.abs(one.audio).max() <= 1.0
    times = [onset.time_s for onset in one.onsets]
    assert times == sorted(times)
    assert all(0 <= time_s < len(one.audio) / 44_100 for time_s in times)


def test_a_corpus_holds_audio_labels_and_provenance(command, tmp_path, capsys):
    assert command(tmp_path / "a") == 0
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert manifest["command"].startswith("python -m benchmarks.drums.render --minutes 0.2")
    assert {kit["kit"] for kit in manifest["kits"]} <= {"red", "green"}
    assert all(kit["licence"] == "CC0-1.0" and kit["author"] for kit in manifest["kits"])
    assert manifest["seconds"] >= 12
    assert "Groove MIDI Dataset" in manifest["groove_credit"]
    with (tmp_path / "a/labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "time_s", "label", "midi_note", "velocity"]
    rows = [row for row in rows if row["label"]]
    assert len(rows) == sum(manifest["hits"].values())
    assert all(len(row["time_s"].split(".")[1]) == 6 for row in rows)
    assert {row["label"] for row in rows} <= {"KD", "SD", "HH", "TT", "CY", "OT"}
    names = {row["file"] for row in rows}
    for name in names:
        info = sf.info(tmp_path / "a" / name)
        assert (info.samplerate, info.channels, info.subtype) == (44_100, 1, "PCM_16")


def test_files_do_not_depend_on_the_length_or_on_what_was_there(command, tmp_path):
    assert command(tmp_path / "long", minutes=0.3) == 0
    assert command(tmp_path / "short", minutes=0.1) == 0
    long, short = contents(tmp_path / "long"), contents(tmp_path / "short")
    assert len(short) < len(long)
    assert all(long[name] == audio for name, audio in short.items())
    # Take an interrupted run up again: one file lost, one half written.
    names = sorted(long)
    (tmp_path / "long/audio" / names[1]).unlink()
    (tmp_path / "long/parts" / f"{Path(names[2]).stem}.json").unlink()
    (tmp_path / "long/audio" / names[2]).write_bytes(b"half")
    labels = (tmp_path / "long/labels.csv").read_bytes()
    (tmp_path / "long/labels.csv").unlink()
    kept = (tmp_path / "long/audio" / names[0]).stat().st_mtime_ns
    assert command(tmp_path / "long", minutes=0.3) == 0
    assert contents(tmp_path / "long") == long
    assert (tmp_path / "long/labels.csv").read_bytes() == labels
    assert (tmp_path / "long/audio" / names[0]).stat().st_mtime_ns == kept


def test_processes_side_by_side_render_the_same(command, tmp_path):
    assert command(tmp_path / "one") == 0
    assert command(tmp_path / "two", "--jobs", "2") == 0
    for name in ("labels.csv", "pitched.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert all(two[name] == audio for name, audio in one.items())


def test_seeds_and_splits_differ(command, tmp_path):
    assert command(tmp_path / "a", minutes=0.05) == 0
    assert command(tmp_path / "b", minutes=0.05, seed=1) == 0
    assert command(tmp_path / "c", "--split", "test", minutes=0.05) == 0
    audio = [next(iter(contents(tmp_path / name).values())) for name in "abc"]
    assert len(set(audio)) == 3
    manifest = json.loads((tmp_path / "c/manifest.json").read_text())
    assert {kit["family"] for kit in manifest["kits"]} == {"whites"}
    assert all(
        name.split("/")[0] in ("test", "pattern", "scatter", "roll")
        for name in manifest["sections"]
    )


def test_another_corpus_in_the_folder_is_refused(command, tmp_path, capsys):
    assert command(tmp_path, minutes=0.05) == 0
    assert command(tmp_path, minutes=0.05, seed=1) == 1
    assert "other settings" in capsys.readouterr().err
    next(tmp_path.glob("parts/*.json")).write_text("{")
    assert command(tmp_path, minutes=0.05) == 1
    assert "damaged" in capsys.readouterr().err


def test_tier_p_is_off_unless_asked_for(command, tmp_path):
    assert command(tmp_path / "p", "--tier-p", minutes=0.5) == 0
    manifest = json.loads((tmp_path / "p/manifest.json").read_text())
    assert "P" in {kit["tier"] for kit in manifest["kits"]}


def test_accompaniment_is_labelled_and_credited(command, backing, tmp_path):
    options = ("--backing", str(backing), "--accompanied", "0.6", "--alone", "0.4")
    assert command(tmp_path / "a", *options, minutes=1) == 0
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert manifest["without_drums"] > 0
    assert manifest["accompanied"] + manifest["without_drums"] == manifest["files"]
    credited = {i["instrument"]: (i["licence"], i["author"]) for i in manifest["instruments"]}
    assert credited == {"round_bass": ("CC0-1.0", "Ann"), "square_guitar": ("CC-BY-3.0", "Ben")}
    drums = read_corpus(tmp_path / "a/labels.csv").recordings
    notes = read_corpus(tmp_path / "a/pitched.csv").recordings
    assert set(drums) == set(notes) == {f"audio/{name}" for name in contents(tmp_path / "a")}
    assert sum(not onsets for onsets in drums.values()) >= manifest["without_drums"]
    labels = [onset for onsets in notes.values() for onset in onsets]
    assert {onset.label for onset in labels} == {"ON"}
    assert len(labels) == manifest["pitched_notes"]


def test_a_corpus_belongs_to_its_instruments(command, backing, tmp_path, capsys):
    assert command(tmp_path, "--backing", str(backing), minutes=0.05) == 0
    assert command(tmp_path, minutes=0.05) == 1
    assert "other settings" in capsys.readouterr().err


def test_instruments_of_other_splits_are_not_played(command, backing, tmp_path):
    options = ("--split", "valid", "--backing", str(backing), "--accompanied", "1", "--alone", "0")
    assert command(tmp_path, *options, minutes=1) == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {i["family"] for i in manifest["instruments"]} == {"reeds"}


def test_without_a_backing_pack_all_is_synthesised(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SOFTLOC_DATA", str(tmp_path))
    assert command(tmp_path / "a", "--accompanied", "1", "--alone", "0", minutes=0.05) == 0
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert manifest["accompanied"] == manifest["files"]
    assert manifest["instruments"] == []
    assert command(tmp_path / "b", "--backing", str(tmp_path / "nowhere"), minutes=0.05) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_no_accompaniment_means_drums_only(command, backing, tmp_path):
    options = ("--backing", str(backing), "--no-accompaniment")
    assert command(tmp_path / "a", *options, minutes=0.1) == 0
    zero = ("--accompanied", "0", "--alone", "0")
    assert command(tmp_path / "b", *zero, minutes=0.1) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert manifest["accompanied"] == manifest["without_drums"] == manifest["pitched_notes"] == 0


@pytest.mark.parametrize("shares", [("1.5", "0"), ("-1", "0"), ("some", "0"), ("0.8", "0.4")])
def test_bad_shares_are_refused(command, tmp_path, shares):
    with pytest.raises(SystemExit) as exit_info:
        command(tmp_path, "--accompanied", shares[0], "--alone", shares[1])
    assert exit_info.value.code == 2


def test_missing_data_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SOFTLOC_DATA", raising=False)
    assert render.main(["-o", str(tmp_path)]) == 1
    assert "Set SOFTLOC_DATA" in capsys.readouterr().err
    monkeypatch.setenv("SOFTLOC_DATA", str(tmp_path / "nowhere"))
    assert render.main(["-o", str(tmp_path)]) == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.skipif("SOFTLOC_DATA" not in os.environ, reason="SOFTLOC_DATA is not set")
def test_the_real_packs_render_every_split(tmp_path, short_scenes):
    for split in ("train", "valid", "test"):
        folder = tmp_path / split
        assert render.main(["--split", split, "--minutes", "0.3", "-o", str(folder)]) == 0
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {"KD", "SD", "HH", "CY"} <= set(manifest["hits"])
        assert {kit["tier"] for kit in manifest["kits"]} <= {"A", "B"}
