"""``softloc evaluate`` from the user's side."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
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


def rows_of(stdout: str, section: str) -> dict[str, list[str]]:
    """Cells of the table below a title, by the name in its first column."""
    lines = iter(stdout.splitlines())
    next(line for line in lines if line.startswith(section))
    table = itertools.takewhile(bool, lines)
    cells = [re.split(r"  +", line.strip()) for line in table]
    return {name: others for name, *others in cells}


def test_files_are_written_whoever_reads_the_tables(files: Path) -> None:
    command = (sys.executable, "-m", "softloc_cli", "evaluate", "labels.csv", "good", "--json", "s")
    subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *command], cwd=files, check=True, capture_output=True
    )
    assert json.loads((files / "s").read_text())["results"]


def test_links_to_the_labels_are_the_labels(files: Path) -> None:
    (files / "link.csv").symlink_to("labels.csv")
    before = (files / "labels.csv").read_text()
    _, stderr = run(files / "link.csv", files / "good", "--csv", files / "labels.csv", code=2)
    assert "is an input, it would be overwritten" in stderr
    assert (files / "labels.csv").read_text() == before


def test_a_page_and_a_file_of_scores_cannot_share_a_name(files: Path) -> None:
    page = files / "x.html"
    _, stderr = run(
        files / "reference.txt", files / "good/a.softloc.csv", "--html", page, "--json", page,
        code=2,
    )  # fmt: skip
    assert "two results cannot share" in stderr
    assert not page.exists()


def test_a_terminal_does_not_obey_a_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_s,label\n0.5,\x1b]0;title\x07\n")
    stdout, _ = run(tmp_path / "a.csv", tmp_path / "a.csv", "--classes", "as-written")
    assert "\\x1b]0;title" in stdout
    assert "\x1b" not in stdout


def test_a_pipe_has_no_hash(files: Path) -> None:
    """It can be read once, and the hash of nothing would be another's."""
    pipe = files / "pipe.txt"
    os.mkfifo(pipe)
    content = (files / "reference.txt").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    stdout, _ = run(pipe, files / "good/a.softloc.csv", "--json", "-")
    writer.join()
    assert json.loads(stdout)["results"][0]["inputs_sha256"]["reference"] == "unknown"


def test_table_against_folder(files: Path) -> None:
    stdout, stderr = run(files / "labels.csv", files / "good")
    assert "2 recordings, vocabulary 5" in stdout
    assert "maximum matching on whole microseconds" in stdout
    assert "not scored in the reference: OT 2" in stdout
    scores, sweep, timing = (rows_of(stdout, section) for section in ("scores", "F by", "timing"))
    assert scores["KD"] == ["4", "4", "4", "0", "0", *["1.000"] * 3, "1.000–1.000"]
    assert scores["HH"] == [*["0"] * 5, *["–"] * 4]
    assert sweep["KD"] == [*["1.000"] * 4, ".000", ".000"]
    assert sweep["HH"] == ["–"] * 6
    assert timing["KD"] == ["4", "+12.0", "+12.0", "0.0", "0.0", "+12.0", "+12.0"]
    assert timing["HH"] == ["0", *["–"] * 6]
    assert "conditional on matching within ±50 ms" in stdout
    assert max(map(len, stdout.splitlines())) <= 80
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
    assert "a.wav: the reference has labels of 2 annotators, ann, bob" in stderr
    stdout, _ = run(files / "two.csv", files / "poor", "--annotator", "bob", "--json", "-")
    result = json.loads(stdout)["results"][0]
    assert (result["annotator"], result["sum"]["windows"][0]["n_ref"]) == ("bob", 1)
    _, stderr = run(files / "two.csv", files / "poor", "--annotator", "cid", code=2)
    assert "no annotator 'cid' (known: ann, bob)" in stderr


def test_estimates_of_several_annotators_are_refused(files: Path) -> None:
    table = "file,time,label,annotator\na.wav,0,KD,ann\na.wav,0.01,KD,bob\n"
    (files / "two.csv").write_text(table)
    arguments = (files / "two.csv", files / "two.csv", "--annotator", "bob")
    stdout, stderr = run(*arguments, code=2)
    assert stdout == ""
    assert "a.wav: the estimate of" in stderr
    assert "has labels of 2 annotators, ann, bob" in stderr
    assert "keep those of one in a file of its own" in stderr


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
    assert stdout.index("good: 2 rec") < stdout.index("poor: 2 rec") < stdout.index("difference")


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
    assert rows[0]["estimate"] == "good"
    assert (rows[0]["averaging"], rows[30]["averaging"]) == ("class", "micro")
    assert (rows[0]["vocabulary"], len(rows[0]["reference_sha256"])) == ("5", 64)
    assert "mir_eval 0." in rows[0]["versions"]
    assert (rows[0]["f_low"], rows[0]["bias_ms"], rows[1]["bias_ms"]) == ("1.0", "12.0", "")


@pytest.mark.parametrize(
    ("threshold", "code"),
    [
        ("F=1.0", 0), ("KD=1", 0), ("any=0.9", 0), ("macro=1", 0), ("P=0.5", 0),
        ("files=1", 0), ("HH=0.1", 4),
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
    assert "poor: F of the sum (micro) at ±50 ms is 0.2857, under 0.8" in stderr
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
        (("labels.csv", "good", "--csv", "-", "--json", "-"), "cannot share -"),
        (("labels.csv", "good", "--csv", "out", "--tex", "out"), "cannot share out"),
        (("labels.csv", "good", "good"), "two estimates are called 'good': name them"),
        (("labels.csv", "x=good", "x=poor"), "two estimates are called 'x'"),
        (("labels.csv", "x=nope"), "error: cannot read nope"),
        (("labels.csv", "x="), "cannot read the estimate 'x=': write NAME=PATH"),
        (("labels.csv", "good", "--both-empty", "no"), "unknown choice 'no': use skip, zero, one"),
        (("labels.csv", "good", "--align-offset", "mean"), "unknown choice 'mean'"),
        (("labels.csv", "good", "--combine", "-1"), "cannot be combined"),
        (("labels.csv", "good", "--resamples", "-1"), "cannot be -1 resamples"),
        (
            ("labels.csv", "good", "--audio", "nope"),
            "drums/a.wav: no such recording in nope; is --audio right",
        ),
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
    scores, sweep = rows_of(stdout, "scores"), rows_of(stdout, "F by")
    assert [scores[label][7] for label in ("KD", "SD", "HH", "any")] == [
        ".989", ".930", ".932", ".976",
    ]  # fmt: skip
    assert sweep["mean over classes"][3] == ".915"
    assert rows_of(stdout, "timing")["sum (micro)"][:2] == ["1810", "-6.5"]


def test_estimates_side_by_side(files: Path) -> None:
    good, poor = files / "good", f"mine={files / 'poor'}"
    stdout, _ = run(files / "labels.csv", good, poor, "--json", files / "out.json")
    comparison = stdout[stdout.index("F at ±50 ms of 2 estimates, and difference to good") :]
    assert "1000 resamples of 2 recordings: few, too narrow; the same for all" in comparison
    lines = [re.split(r"  +", line.strip()) for line in comparison.splitlines()]
    kick = next(index for index, cells in enumerate(lines) if cells[0] == "KD")
    assert lines[kick] == ["KD", "good", "1.000", "1.000–1.000"]
    # Of recording b nothing was estimated: two of four kicks are in one of two recordings.
    assert lines[kick + 1] == ["mine", ".400", ".000–.667", "-.600", "-1.000 … -.333"]
    result = json.loads((files / "out.json").read_text())["results"]
    assert [item["name"] for item in result] == ["good", "mine"]
    difference = result[1]["per_class"]["KD"]["windows"][0]["difference"]
    assert difference["f_measure"] == pytest.approx(-0.6)
    assert "difference" not in result[0]["per_class"]["KD"]["windows"][0]
    assert result[0]["bootstrap"] == {
        "unit": "recordings, paired across estimates", "intervals": "percentiles",
        "n_resamples": 1000, "seed": 0, "level": 0.95,
    }  # fmt: skip
    assert max(map(len, stdout.splitlines())) <= 80


def test_seed_and_number_of_resamples(files: Path) -> None:
    def interval(*arguments: object) -> object:
        stdout, _ = run(files / "labels.csv", files / "poor", "--json", "-", *arguments)
        (result,) = json.loads(stdout)["results"]
        return [result["sum"]["windows"][0][end] for end in ("f_low", "f_high")]

    assert interval() == interval("--seed", 0) == [0.0, 0.5]
    assert interval("--resamples", 0) == [None, None]
    stdout, _ = run(files / "labels.csv", files / "poor", "--resamples", 0)
    assert "resamples" not in stdout
    assert rows_of(stdout, "scores")["class"][-1] == "F"


def test_existing_path_with_an_equals_sign_is_a_path(files: Path) -> None:
    write_onsets(files / "a=b" / "a.csv", LATE)
    stdout, _ = run(files / "labels.csv", files / "a=b")
    assert stdout.startswith("a=b: 2 recordings")


def test_estimates_of_one_name_are_called_by_their_paths(files: Path) -> None:
    write_onsets(files / "more" / "good" / "a.csv", LATE)
    stdout, _ = run(files / "labels.csv", files / "good", files / "more" / "good")
    assert stdout.startswith(f"{files / 'good'}: 2 recordings")
    assert f"\n{files / 'more' / 'good'}: 2 recordings" in stdout


def test_offset_is_shown_beside_the_raw_scores(files: Path) -> None:
    stdout, _ = run(files / "labels.csv", files / "good", "--align-offset", "median")
    lines = [re.split(r"  +", line.strip()) for line in stdout.splitlines()]
    kick = next(index for index, cells in enumerate(lines) if cells[:2] == ["KD", "as it is"])
    assert lines[kick][2:] == [*["1.000"] * 4, ".000", ".000"]
    assert lines[kick + 1] == ["moved by -12.0 ms", *["1.000"] * 6]
    stdout, _ = run(
        files / "labels.csv", files / "good", "--align-offset", "median", "--csv", "-"
    )  # fmt: skip
    rows = list(csv.DictReader(stdout.splitlines()))
    assert [(rows[5][key]) for key in ("window_ms", "f_measure", "f_aligned")] == [
        "5.0", "0.0", "1.0",
    ]  # fmt: skip


def test_settings_that_change_scores_are_printed(files: Path) -> None:
    stdout, _ = run(files / "labels.csv", files / "good")
    assert "combined" not in stdout
    assert "counts as" not in stdout
    stdout, _ = run(files / "labels.csv", files / "good", "--combine", 30, "--both-empty", "one")
    assert "reference events of a class within 30 ms are combined" in stdout
    assert "what neither side has counts as 1" in stdout
    assert rows_of(stdout, "scores")["HH"][5:8] == ["1.000"] * 3


def test_confusions_and_velocities_are_printed_where_there_are_any(files: Path) -> None:
    loud = [Onset(onset.time_s, onset.label, velocity=60) for onset in REFERENCE]
    heard = [Onset(1.0, "KD", velocity=80), Onset(0.52, "TT"), Onset(0.01, "KD", velocity=60)]
    write_onsets(files / "true.csv", loud)
    write_onsets(files / "heard.csv", heard)
    stdout, _ = run(files / "true.csv", files / "heard.csv")
    confusion = rows_of(stdout, "class of the reference")
    assert confusion["KD"] == ["2", *["·"] * 5]
    assert confusion["SD"] == ["·", "·", "·", "1", "·", "·"]
    velocity = rows_of(stdout, "velocity, positive = too loud")
    assert velocity["KD"][:3] == ["2", "+10.0", "10.0"]
    assert velocity["TT"][:2] == ["0", "–"]
    stdout, _ = run(files / "labels.csv", files / "good")
    assert "class of the reference" not in stdout
    assert "velocity" not in stdout


def test_many_classes_are_listed_by_their_confusions(files: Path) -> None:
    names = [str(note) for note in range(60, 71)]
    write_onsets(files / "true.csv", [Onset(float(n), name) for n, name in enumerate(names)])
    write_onsets(
        files / "heard.csv", [Onset(float(n), name) for n, name in enumerate([*names[1:], "70"])]
    )
    stdout, _ = run(files / "true.csv", files / "heard.csv", "--classes", "as-written")
    assert rows_of(stdout, "most frequent of 10 confusions")["60"] == ["61", "1"]


def test_names_are_printed_as_they_are(files: Path) -> None:
    label = "[red]:drum: of a very long name that no table has a column for[/red]"
    write_onsets(files / "true.csv", [Onset(1.0, label)])
    stdout, _ = run(files / "true.csv", files / "true.csv")
    assert rows_of(stdout, "scores")[label][:2] == ["1", "1"]


def test_tex_file(files: Path) -> None:
    out = files / "out.tex"
    poor = f"a_b={files / 'poor'}"
    stdout, _ = run(files / "labels.csv", files / "good", poor, "--tex", out)
    text = out.read_text()
    comments, _, body = text.partition("\\begin{tabular}")
    assert all(line.startswith("% ") for line in comments.splitlines())
    result = json.loads(run(files / "labels.csv", files / "poor", "--json", "-")[0])["results"][0]
    for word in (
        *result["inputs_sha256"].values(), "vocabulary 5", "50, 30, 25, 20, 10, 5 ms",
        "summed over classes and recordings", "mir_eval 0.", "1000 resamples", "seed 0",
    ):  # fmt: skip
        assert word in comments
    assert r"KD & a\_b & 1.000 & 0.250 & 0.400" in body
    assert "KD" in stdout
    assert run(files / "labels.csv", files / "good", "--tex", "-")[0].startswith("% softloc eval")


def test_events_beyond_the_recordings_are_left_out(files: Path) -> None:
    for name in ("drums/a.wav", "mix/b.wav"):
        path = files / "audio" / name
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.zeros(600), 1000)
    arguments = (files / "labels.csv", files / "good", "--json", "-")
    totals = []
    for extra in ((), ("--audio", files / "audio")):
        (result,) = json.loads(run(*arguments, *extra)[0])["results"]
        totals.append([result["sum"]["windows"][0][side] for side in ("n_ref", "n_est")])
    assert totals == [[6, 6], [4, 4]]


@pytest.mark.parametrize("output", ["labels.csv", "good/a.softloc.csv", "good/../labels.csv"])
@pytest.mark.parametrize("option", ["--csv", "--json", "--tex"])
def test_inputs_are_not_overwritten(
    files: Path, monkeypatch: pytest.MonkeyPatch, output: str, option: str
) -> None:
    monkeypatch.chdir(files)
    before = Path(output).read_bytes()
    stdout, stderr = run("labels.csv", "good", option, output, code=2)
    assert stdout == ""
    assert f"{output}: is an input, it would be overwritten" in stderr
    assert Path(output).read_bytes() == before


def test_help_states_the_tolerance_rule() -> None:
    stdout, _ = run("--help")
    assert "A distance of exactly the tolerance is a hit" in " ".join(
        stdout.replace("│", " ").split()
    )


def test_few_recordings_are_said_to_be_few(files: Path) -> None:
    recordings = {f"{number}.wav": REFERENCE for number in range(20)}
    for count, said in ((19, "19 recordings: few, too narrow"), (20, "20 recordings")):
        some = dict(list(recordings.items())[:count])
        write_corpus_csv(files / "many.csv", Corpus(files, "table", files, some))
        stdout, _ = run(files / "many.csv", files / "many.csv", "--resamples", 10)
        assert f"of F, 10 resamples of {said}\n" in stdout
