"""Joining labels and audio: everything that can be wrong with it, said at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from softloc.audio import find_audio
from softloc.datasets import (
    Classes,
    build_dataset,
    choose_classes,
    classes_of_model,
    set_annotator_softness,
)
from softloc.errors import AnnotationError, SettingsError
from softloc.formats import read_corpus

RATE_HZ = 8_000


def write_audio(path: Path, duration_s: float = 2.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(duration_s * RATE_HZ)), RATE_HZ)


def table(folder: Path, *rows: str, header: str = "file,time_s,label") -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_table_and_its_audio(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "sub" / "b.wav", 3.0)
    corpus = read_corpus(table(tmp_path, "a.wav,0.5,SD", "a.wav,0.0,KD", "sub/b.wav,3.0,KD"))
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, softness_ms=50.0)
    assert dataset.classes.names == ("KD", "SD")
    assert dataset.duration_s == pytest.approx(5.0)
    assert dataset.count_labels() == {"KD": 2, "SD": 1}
    assert dataset.recordings[0].sequences[0].times_s.tolist() == [0.0, 0.5]
    assert dataset.recordings[0].sequences[0].softness_ms.tolist() == [50.0, 50.0]


def test_velocities_stay_with_their_labels(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "b.wav")
    path = table(
        tmp_path,
        "a.wav,0.5,SD,90",
        "a.wav,0.0,KD,",
        "b.wav,1.0,KD,",
        header="file,time_s,label,velocity",
    )
    corpus = read_corpus(path)
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, softness_ms=50.0)
    first, second = (recording.sequences[0].velocities for recording in dataset.recordings)
    assert first is not None
    assert first.tolist() == [0, 90]
    assert second is None


def test_a_folder_of_label_files_finds_audio_by_stem(tmp_path: Path) -> None:
    write_audio(tmp_path / "audio" / "one [live].flac")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "one [live].txt").write_text("0.5\tKD\n")
    corpus = read_corpus(tmp_path / "labels")
    dataset = build_dataset(corpus, choose_classes("auto", corpus), tmp_path / "audio", 50.0)
    assert dataset.recordings[0].audio == tmp_path / "audio" / "one [live].flac"


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    write_audio(tmp_path / "good.wav")
    (tmp_path / "text.wav").write_text("no audio")
    corpus = read_corpus(
        table(tmp_path, "good.wav,1500,KD", "good.wav,1,XX", "text.wav,0,KD", "missing.wav,0,KD")
    )
    with pytest.raises(AnnotationError) as caught:
        build_dataset(corpus, Classes(("KD",)), None, 50.0)
    message = str(caught.value)
    for part in (
        "the label KD at 1500.000000 s is far outside",
        "milliseconds?",
        "unknown class 'XX'",
        "text.wav: not audio",
        "missing.wav: no such recording",
    ):
        assert part in message


def test_labels_that_noise_moved_out_come_back_in(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    corpus = read_corpus(table(tmp_path, "a.wav,-0.4,KD", "a.wav,2.4,KD", "a.wav,1,KD"))
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, 50.0)
    assert dataset.recordings[0].sequences[0].times_s.tolist() == [0.0, 1.0, 2.0]
    assert dataset.notes == ("a.wav: 2 labels outside the recording moved to its ends",)
    # A softness of 500 ms explains labels as far as 2.5 s outside.
    far = read_corpus(table(tmp_path, "a.wav,4.4,KD"))
    assert build_dataset(far, choose_classes("auto", far), None, 500.0).count_labels() == {"KD": 1}
    with pytest.raises(AnnotationError, match="far outside"):
        build_dataset(far, choose_classes("auto", far), None, 50.0)


def test_drum_vocabularies_fold_and_leave_out(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    rows = [f"a.wav,{i},{label}" for i, label in enumerate(("OH", "RD"), start=0)]
    corpus = read_corpus(table(tmp_path, *rows, "a.wav,1.5,OT", "a.wav,1.6,CL", "a.wav,1.7,38"))
    five = build_dataset(corpus, choose_classes("5", corpus), None, 50.0)
    assert five.count_labels() == {"KD": 0, "SD": 1, "HH": 1, "TT": 0, "CY": 1}
    assert any("no label of class KD" in note for note in five.notes)
    three = build_dataset(corpus, choose_classes("3", corpus), None, 50.0)
    assert three.count_labels() == {"KD": 0, "SD": 1, "HH": 1}


def test_classes_auto_orders_drums_notes_and_names(tmp_path: Path) -> None:
    labels = ("zap", "100", "HH", "60", "KD", "OT")
    corpus = read_corpus(table(tmp_path, *(f"a.wav,0,{label}" for label in labels)))
    assert choose_classes("auto", corpus).names == ("KD", "HH", "60", "100", "zap")
    assert choose_classes("SD, KD", corpus).names == ("SD", "KD")
    assert choose_classes("KD,HH", corpus).index("OH") == 1
    for option, sentence in (("KD,KD", "listed twice"), (",", "no classes"), ("KD,OT", "OT")):
        with pytest.raises(SettingsError, match=sentence):
            choose_classes(option, corpus)


def test_classes_of_a_model_fold_where_they_are_a_vocabulary() -> None:
    assert classes_of_model(("KD", "SD", "HH", "TT", "CY")).index("RD") == 4
    with pytest.raises(SettingsError, match="unknown class 'RD'"):
        classes_of_model(("KD", "CY")).index("RD")


def test_annotators_and_their_softness(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    corpus = read_corpus(
        table(
            tmp_path,
            "a.wav,0.5,KD,ann,",
            "a.wav,0.6,KD,bob,",
            "a.wav,0.7,KD,bob,7",
            header="file,time_s,label,annotator,softness_ms",
        )
    )
    corpus = set_annotator_softness(corpus, {"bob": 80.0})
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, 50.0)
    found = {s.annotator: s.softness_ms.tolist() for s in dataset.recordings[0].sequences}
    assert found == {"ann": [50.0], "bob": [80.0, 7.0]}
    with pytest.raises(SettingsError, match="did you mean 'bob'"):
        set_annotator_softness(corpus, {"bobby": 1.0})


def test_the_split_holds_whole_recordings_back(tmp_path: Path) -> None:
    rows = []
    for index in range(10):
        write_audio(tmp_path / f"{index}.wav")
        rows.append(f"{index}.wav,1,KD")
    corpus = read_corpus(table(tmp_path, *rows))
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, 50.0)
    rest, held = dataset.split(0.2, seed=0)
    names = [r.name for part in (rest, held) for r in part.recordings]
    assert len(held.recordings) == 2
    assert sorted(names) == sorted(r.name for r in dataset.recordings)
    assert dataset.split(0.2, seed=0)[1].sha256() == held.sha256()
    assert dataset.split(0.2, seed=1)[1].sha256() != held.sha256()


def test_one_recording_cannot_be_split(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    corpus = read_corpus(table(tmp_path, "a.wav,1,KD"))
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, 50.0)
    with pytest.raises(SettingsError, match="--valid-labels"):
        dataset.split(0.1, seed=0)


def test_two_recordings_of_one_stem_are_ambiguous(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "a.flac")
    with pytest.raises(AnnotationError, match="several recordings fit"):
        find_audio(tmp_path, "a.csv")


def test_stems_with_dots_and_marks_of_our_own(tmp_path: Path) -> None:
    write_audio(tmp_path / "take.1.wav")
    assert find_audio(tmp_path, "take.1").name == "take.1.wav"
    assert find_audio(tmp_path, "take.1.softloc.csv").name == "take.1.wav"
    with pytest.raises(AnnotationError, match="no recording of this name"):
        find_audio(tmp_path, "take")


def test_validation_is_shortened_at_random(tmp_path: Path) -> None:
    rows = []
    for index in range(8):
        write_audio(tmp_path / f"{index}.wav")
        rows.append(f"{index}.wav,1,KD")
    corpus = read_corpus(table(tmp_path, *rows))
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, 50.0)
    short = dataset.shorten(7.0, seed=0)
    assert short.duration_s == pytest.approx(6.0)
    assert [r.name for r in short.recordings] != ["0.wav", "1.wav", "2.wav"]
    assert len(dataset.shorten(0.1, seed=0).recordings) == 1


def test_a_corpus_without_labels_is_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    corpus = read_corpus(table(tmp_path, "a.wav,1,OT"))
    with pytest.raises(SettingsError, match="no label to learn from"):
        choose_classes("auto", corpus)
    with pytest.raises(AnnotationError, match="no label of the classes KD"):
        build_dataset(corpus, Classes(("KD",)), None, 50.0)
