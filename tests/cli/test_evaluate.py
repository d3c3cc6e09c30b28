"""``softloc evaluate`` from the user's side."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from softloc.events import Corpus, Onset
from softloc.formats import write_corpus_csv, write_onsets
from softloc_cli.evaluate import evaluate

app = typer.Typer()
app.command()(evaluate)
runner = CliRunner()

REFERENCE = [Onset(0.0, "KD"), Onset(0.5, "SD"), Onset(1.0, "KD"), Onset(1.0, "OT")]
LATE = [Onset(onset.time_s + 0.012, onset.label) for onset in REFERENCE[:3]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    recordings = {"drums/a.wav": REFERENCE, "mix/b.wav": REFERENCE}
    write_corpus_csv(tmp_path / "labels.csv", Corpus(tmp_path, "table", tmp_path, recordings))
    write_onsets(tmp_path / "reference.txt", REFERENCE)
    write_onsets(tmp_path / "good" / "a.softloc.csv", LATE)
    write_onsets(tmp_path / "good" / "b.softloc.csv", LATE)
    (tmp_path / "good" / "README.md").write_text("# estimates")
    (tmp_path / "good" / "notes.txt").write_text("Made on Monday.")
    write_onsets(tmp_path / "poor" / "a.mid", LATE[:1])
    write_onsets(tmp_path / "poor" / "more.mid", LATE[:1])
    return tmp_path


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_table_against_folder(files: Path) -> None:
    stdout, stderr = run(files / "labels.csv", files / "good")
    assert "2 recordings, vocabulary 5" in stdout
    assert "maximum matching on whole microseconds" in stdout
    assert "not scored in the reference: OT 2" in stdout
    rows = {line.split("  ")[0]: line.split() for line in stdout.splitlines() if line}
    assert rows["KD"] == ["KD", "4", "+12.0", "+12.0", "0.0", "0.0", "+12.0", "+12.0"]
    scores = next(line.split() for line in stdout.splitlines() if line.startswith("KD"))
    assert scores == ["KD", "4", "4", "4", "0", "0", *["1.000"] * 6, "0.000", "0.000"]
    hats = next(line.split() for line in stdout.splitlines() if line.startswith("HH"))
    assert hats == ["HH", *["0"] * 5, *["–"] * 8]
    assert stderr == f"{files / 'good'}: skipped, no label files: notes.txt\n"


def test_damaged_label_files_of_a_folder_are_errors(files: Path) -> None:
    (files / "good" / "c.csv").write_text("tme_s,label\n0.5,KD\n")
    _, stderr = run(files / "labels.csv", files / "good", code=2)
    assert "c.csv, line 1: no column of times" in stderr
    assert "'tme_s': did you mean 'time_s'?" in stderr


def test_several_annotators_need_a_choice(files: Path) -> None:
    table = "file,time,label,annotator\na.wav,0,KD,ann\na.wav,0.01,KD,bob\n"
    (files / "two.csv").write_text(table)
    stdout, stderr = run(files / "two.csv", files / "poor", code=2)
    assert stdout == ""
    assert "a.wav has labels of 2 annotators, ann, bob" in stderr
    stdout, _ = run(files / "two.csv", files / "poor", "--annotator", "bob", "--json", "-")
    result = json.loads(stdout)["results"][0]
    assert (result["annotator"], result["sum"]["windows"][0]["n_ref"]) == ("bob", 1)
    _, stderr = run(files / "two.csv", files / "poor", "--annotator", "cid", code=2)
    assert "no annotator 'cid' (known: ann, bob)" in stderr


def test_csv_to_stdout_is_nothing_but_the_table(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    stdout, _ = run("labels.csv", "good", "--csv", "-", "--json", "out.json")
    rows = list(csv.DictReader(stdout.splitlines()))
    assert (rows[0]["row"], rows[0]["tp"]) == ("KD", "4")
    assert not (files / "-").exists()
    assert json.loads((files / "out.json").read_text())["results"]


def test_file_against_file(files: Path) -> None:
    stdout, _ = run(files / "reference.txt", files / "poor" / "more.mid")
    assert "1 recordings" in stdout


def test_missing_and_extra_are_named(files: Path) -> None:
    stdout, stderr = run(files / "labels.csv", files / "poor")
    assert "all events count as missed: mix/b.wav" in stderr
    assert "not scored: more.mid" in stderr
    assert next(line for line in stdout.splitlines() if line.startswith("KD")).split()[1:4] == [
        "4", "1", "1",
    ]  # fmt: skip


def test_several_estimates_print_a_table_each(files: Path) -> None:
    stdout, _ = run(files / "labels.csv", files / "good", files / "poor")
    assert stdout.index(f"{files / 'good'}:") < stdout.index(f"{files / 'poor'}:")


def test_only(files: Path) -> None:
    stdout, stderr = run(files / "labels.csv", files / "poor", "--only", "drums/*")
    assert "1 recordings" in stdout
    assert "missed" not in stderr


def test_json_to_stdout_is_nothing_but_json(files: Path) -> None:
    stdout, _ = run(files / "labels.csv", files / "good", files / "poor", "--json", "-")
    results = json.loads(stdout)["results"]
    assert [item["n_files"] for item in results] == [2, 2]
    assert len(results[0]["inputs_sha256"]["reference"]) == 64
    assert results[0]["inputs_sha256"]["estimate"] != results[1]["inputs_sha256"]["estimate"]


def test_json_and_csv_files(files: Path) -> None:
    out_json, out_csv = files / "out.json", files / "out.csv"
    stdout, _ = run(files / "labels.csv", files / "good", "--json", out_json, "--csv", out_csv)
    assert "KD" in stdout
    assert json.loads(out_json.read_text())["results"][0]["sum"]["timing"]["bias_ms"] == 12.0
    with out_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["row"], rows[0]["window_ms"], rows[0]["f_measure"]) == ("KD", "50.0", "1.0")
    assert rows[0]["estimate"] == str(files / "good")


@pytest.mark.parametrize(
    ("threshold", "code"),
    [
        ("F=1.0", 0), ("KD=1", 0), ("any=0.9", 0), ("macro=1", 0), ("P=0.5", 0),
        ("HH=0.1", 4),
    ],
)  # fmt: skip
def test_thresholds(threshold: str, code: int, files: Path) -> None:
    run(files / "labels.csv", files / "good", "--fail-under", threshold, code=code)


def test_threshold_that_is_met_exactly(files: Path) -> None:
    # 6 hits of 7 and 8 events: the mean of 6/8 and 6/7 comes out a hair below 0.8.
    write_onsets(files / "true.csv", [Onset(step / 2, "KD") for step in range(7)])
    write_onsets(files / "found.csv", [Onset(step / 2, "KD") for step in range(1, 9)])
    run(files / "true.csv", files / "found.csv", "--fail-under", "F=0.8")


def test_threshold_that_is_missed_says_by_how_much(files: Path) -> None:
    arguments = (files / "labels.csv", files / "poor", "--fail-under", "F=0.80")
    stdout, stderr = run(*arguments, code=4)
    assert "F is 0.2857, under 0.8" in stderr
    assert "sum (micro)" in stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("labels.csv", "nope"), "error: cannot read .*nope: No such file"),
        (("nope.csv", "good"), "error: cannot read .*nope.csv"),
        (("labels.csv", "good", "--fail-under", "F"), "write it as F=0.80"),
        (("labels.csv", "good", "--fail-under", "XX=0.5"), "no score 'XX'"),
        (("labels.csv", "good", "--classes", "clap"), "no label belongs to the class 'clap'"),
        (("labels.csv", "good", "--only", "x*"), r"no recording that matches x\*"),
        (("labels.csv", "good", "--csv", "-", "--json", "-"), "cannot both print"),
        (("labels.csv",), "Missing argument"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: tuple[str, ...], message: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    stdout, stderr = run(*arguments, code=2)
    assert stdout == ""
    assert "Traceback" not in stderr
    assert re.search(message, stderr)


def test_negative_reference_times_are_refused(files: Path) -> None:
    (files / "early.csv").write_text("time,label\n-0.2,KD\n")
    _, stderr = run(files / "early.csv", files / "reference.txt", code=2)
    assert "early.csv: the reference has a KD at -0.200000 s" in stderr


@pytest.mark.data
def test_golden_case_on_the_command_line() -> None:
    data = os.environ.get("SOFTLOC_DATA")
    if not data:
        pytest.skip("SOFTLOC_DATA does not say where the corpora are")
    folder = Path(data) / "drums-dev"
    estimates = folder / "estimates" / "adtof"
    stdout, _ = run(folder / "labels.csv", estimates, "--classes", "3", "--only", "drums/*")
    cells = {line[:17].strip(): line.split() for line in stdout.splitlines()[:14]}
    assert [cells[label][8] for label in ("KD", "SD", "HH", "any")] == [
        "0.989", "0.930", "0.932", "0.976",
    ]  # fmt: skip
    assert cells["mean over classes"][-3] == "0.915"
    assert "sum (micro)   1810  -6.5" in stdout
