from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
import soundfile as sf

from benchmarks.drums import guitars, packages, soundfonts
from benchmarks.drums.packages import MULDJORD_SONGS, SECTOID_SONGS, ensure_package
from softloc.errors import SettingsError
from softloc.formats import read_corpus
from softloc.rendering.backing import NOTE_START_S, load_backing
from softloc.rendering.kits import SAMPLE_RATE_HZ, find_onset


def test_a_package_that_is_another_file_is_refused(tmp_path):
    (tmp_path / SECTOID_SONGS.file_name).write_bytes(b"not that")
    with pytest.raises(SettingsError, match="SHA-256 differs"):
        ensure_package(SECTOID_SONGS, tmp_path)


def test_what_cannot_be_fetched_is_explained(tmp_path, monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(100, command, stderr="E: Unable to locate package")

    monkeypatch.setattr(packages.subprocess, "run", fail)
    with pytest.raises(SettingsError, match=r"Unable to locate package. Put .*_all.deb .* by hand"):
        ensure_package(SECTOID_SONGS, tmp_path)
    assert not (tmp_path / SECTOID_SONGS.name).exists()


def test_notes_of_a_soundfont_become_a_backing_pack(tmp_path, monkeypatch):
    class Player:
        """Sounds 37 ms late, as a soft attack does; knows no pitch above 60."""

        def __init__(self, _):
            pass

        def note(self, program, pitch, velocity):
            audio = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
            if pitch <= 60:
                tone = np.sin(np.arange(40_000) * 0.001 * (pitch + program))
                audio[1632:41632] = velocity / 300 * np.sign(tone)
            return audio

    monkeypatch.setattr(soundfonts, "_Player", Player)
    monkeypatch.setattr(soundfonts, "N_PROGRAMS", 34)
    soundfonts.write_pack(tmp_path / "any.sf2", tmp_path / "pack")
    pack = load_backing(tmp_path / "pack")
    names = [instrument.name for instrument in pack.instruments]
    assert names[0] == "gm_000_acoustic_grand_piano"
    assert names[33] == "gm_033_electric_bass_finger"
    assert len({instrument.family for instrument in pack.instruments}) == 5
    piano, bass = pack.instruments[0], pack.instruments[33]
    assert (piano.lowest, piano.highest, bass.lowest) == (36, 60, 26)
    for sample in (*piano.samples, *bass.samples):
        audio, rate_hz = sf.read(sample.path)
        assert rate_hz == SAMPLE_RATE_HZ
        assert find_onset(audio) == round(NOTE_START_S * SAMPLE_RATE_HZ)
        assert np.max(np.abs(audio)) == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_guitar_tracks_become_recordings_without_labels(tmp_path, monkeypatch):
    for package, song in ((SECTOID_SONGS, "a/War of noise"), (MULDJORD_SONGS, "b/mime")):
        track = tmp_path / "packages" / package.name / guitars._SONGS / song / "guitar.ogg"
        track.parent.mkdir(parents=True)
        noise = np.random.default_rng(0).normal(0.0, 0.1, (SAMPLE_RATE_HZ * 3, 2))
        noise[:SAMPLE_RATE_HZ] = 0.0
        sf.write(track, noise, SAMPLE_RATE_HZ, format="OGG")
    monkeypatch.setattr(guitars, "_PIECE_S", 1.0)
    corpus = guitars.ensure_guitars(tmp_path)
    recordings = read_corpus(corpus / "labels.csv").recordings
    # The first second of either song is a pause.
    assert sorted(recordings) == [
        f"audio/{name}-0{piece}.flac" for name in ("mime", "war-of-noise") for piece in (1, 2)
    ]
    assert not any(recordings.values())
    credited = json.loads((corpus / "manifest.json").read_text())["instruments"]
    assert [(row["licence"], row["samples"]) for row in credited] == [
        ("MIT", 2),
        ("CC-BY-SA-3.0", 2),
    ]
    with (corpus / "labels.csv").open() as file:
        assert next(csv.reader(file)) == ["file", "time_s", "label"]
