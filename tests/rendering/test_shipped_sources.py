"""What the shipped weights learn from: labels joined to one class, and whose sounds they are."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import soundfile as sf

from benchmarks.drums.experiment import noisy_dataset
from benchmarks.drums.weights import merge_credits
from benchmarks.onsets import join_labels
from softloc.formats import read_corpus


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "time_s", "label"), *rows])


def write_rendered(folder, drums, pitched):
    """Write what the renderer does: every recording is in both tables, if only by its name."""
    write_table(folder / "labels.csv", drums)
    write_table(folder / "pitched.csv", pitched)
    for name in {row[0] for row in drums}:
        (folder / name).parent.mkdir(exist_ok=True)
        sf.write(folder / name, np.zeros(8_000), 8_000)
    return read_corpus(folder / "labels.csv")


def test_hits_and_notes_become_onsets_of_one_class(tmp_path):
    drums = write_rendered(
        tmp_path / "train",
        [("audio/a.wav", 0.1, "KD"), ("audio/a.wav", 0.5, "SD"), ("audio/b.wav", "", "")],
        [("audio/a.wav", 0.12, "60"), ("audio/a.wav", 0.9, "62"), ("audio/b.wav", "", "")],
    )
    alone = write_rendered(
        tmp_path / "pitched-train", [("audio/a.wav", "", "")], [("audio/a.wav", 0.3, "64")]
    )
    join_labels((drums, alone), tmp_path / "onsets" / "train")
    joined = read_corpus(tmp_path / "onsets" / "train" / "labels.csv")
    found = {
        (joined.root / name).resolve().relative_to(tmp_path).as_posix(): [
            (onset.time_s, onset.label) for onset in onsets
        ]
        for name, onsets in joined.recordings.items()
    }
    assert found == {
        "train/audio/a.wav": [(0.11, "ON"), (0.5, "ON"), (0.9, "ON")],
        "train/audio/b.wav": [],
        "pitched-train/audio/a.wav": [(0.3, "ON")],
    }
    # A training takes them although they stand beside the folder of the table.
    dataset = noisy_dataset(tmp_path / "onsets" / "train", 0.0, 30.0, 0, "ON")
    assert sorted(len(each.sequences[0].times_s) for each in dataset.recordings) == [0, 1, 3]


def test_recordings_left_out_bring_no_notes(tmp_path):
    drums = write_rendered(
        tmp_path / "train",
        [("audio/a.wav", 0.1, "KD"), ("audio/b.wav", 0.2, "KD")],
        [("audio/a.wav", "", ""), ("audio/b.wav", 0.7, "60")],
    )
    kept = {name: drums.recordings[name] for name in drums.recordings if name.endswith("a.wav")}
    join_labels((replace(drums, recordings=kept),), tmp_path / "onsets" / "train")
    joined = read_corpus(tmp_path / "onsets" / "train" / "labels.csv")
    assert [name.rsplit("/", 1)[1] for name in joined.recordings] == ["a.wav"]


def test_whoever_is_credited_stays_and_is_credited_once():
    def kit(author, samples):
        return {"kit": "k", "licence": "CC0-1.0", "author": author, "samples": samples}

    organ = {"instrument": "organ", "licence": "CC0-1.0", "author": "them", "samples": 2}
    named = {"kits": [kit("one", 1)], "instruments": []}
    merged = merge_credits(
        named, [{"kits": [kit("one", 9), kit("two", 3)]}, {"instruments": [organ]}]
    )
    assert merged == {"kits": [kit("one", 1), kit("two", 3)], "instruments": [organ]}
    assert merge_credits(merged, [{"instruments": [organ]}]) == merged
