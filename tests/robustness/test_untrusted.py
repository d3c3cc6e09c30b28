"""Files from strangers: they run nothing, reach nothing outside, and are shown as text."""

from __future__ import annotations

import base64
import csv
import hashlib
import html.parser
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

from benchmarks.recordings import RATE_HZ, clicks
from benchmarks.robustness.targets import FINDINGS, MODEL
from softloc.audio import find_audio
from softloc.checkpoints import load_training_state, save_training_state
from softloc.datasets import build_dataset, choose_classes
from softloc.errors import AnnotationError, CheckpointError, SoftLocError, printable
from softloc.events import Onset
from softloc.formats import Provenance, read_corpus, write_onsets
from softloc_cli.app import app
from softloc_cli.inputs import Item
from softloc_cli.outputs import Naming

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Folders ``labels`` and ``private``, each with a recording."""
    for folder in ("labels", "private"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / f"{folder}.wav", clicks((0.1,), 1.0), RATE_HZ)
    return tmp_path


@pytest.mark.parametrize("way", ["../private/private.wav", "{}/private/private.wav", "a/../../b"])
def test_labels_reach_no_recording_outside_of_their_folder(way: str, places: Path) -> None:
    name = way.format(places)
    with pytest.raises(AnnotationError, match=r"lies outside .* give --outside"):
        find_audio(places / "labels", name)


def test_labels_that_are_trusted_may(places: Path) -> None:
    table = places / "labels" / "labels.csv"
    table.write_text(f"file,time_s,label\n../private/private.wav,0.1,KD\n{places}/x.wav,0.1,KD\n")
    found = find_audio(table.parent, "../private/private.wav", outside=True)
    assert found.samefile(places / "private" / "private.wav")
    shutil.copy(found, places / "x.wav")
    corpus = read_corpus(table)
    classes = choose_classes("auto", corpus)
    assert len(build_dataset(corpus, classes, None, 50.0, outside=True).recordings) == 2
    with pytest.raises(AnnotationError, match="private"):
        build_dataset(corpus, classes, None, 50.0)


@pytest.mark.parametrize("command", ["train", "evaluate", "perturb"])
def test_commands_refuse_and_take_an_option(command: str, places: Path) -> None:
    labels, out = places / "labels" / "labels.csv", places / "out"
    rows = "".join(f"../private/private.wav,{0.1 * i:.1f},KD\n" for i in range(1, 5))
    more = "labels.wav,0.1,KD\n" if command == "train" else ""
    labels.write_text(f"file,time_s,label\n{rows}{more}")
    arguments = {
        "train": ["--labels", str(labels), "-o", str(out / "m.safetensors"), "--dry-run"],
        "evaluate": [str(labels), str(labels), "--audio", str(labels.parent)],
        "perturb": [str(labels), "-o", str(out / "noisy.csv"), "--audio", str(labels.parent)],
    }[command]
    refused = CliRunner().invoke(app, [command, *arguments])
    assert refused.exit_code == 2
    assert "give --outside if the labels are to be trusted" in refused.stderr
    assert CliRunner().invoke(app, [command, *arguments, "--outside"]).exit_code == 0


def test_page_of_an_evaluation_holds_no_recording_from_outside(places: Path) -> None:
    labels = places / "labels" / "labels.csv"
    labels.write_text("file,time_s,label\n../private/private.wav,0.1,KD\n")
    page = places / "page.html"
    result = CliRunner().invoke(app, ["evaluate", str(labels), str(labels), "--html", str(page)])
    assert result.exit_code == 0
    assert "no sound: ../private/private.wav: lies outside" in result.stderr
    assert 'id="audio-0"' not in page.read_text()
    labels.write_text("file,time_s,label\nprivate.wav,0.1,KD\n")
    shutil.copy(places / "private" / "private.wav", labels.parent)
    result = CliRunner().invoke(app, ["evaluate", str(labels), str(labels), "--html", str(page)])
    assert result.exit_code == 0
    assert 'id="audio-0"' in page.read_text()


def test_class_of_a_model_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    naming = Naming(("midi",), folder=tmp_path, pattern="{class}/{stem}.{ext}", classes=("..", "."))
    paths = [target.path for target in naming.job(Item(Path("song.wav"))).targets]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "__/song.mid",
        "_/song.mid",
    ]


@pytest.mark.skipif(os.name != "posix", reason="names that Windows cannot have")
def test_names_and_labels_are_text_in_pages(tmp_path: Path) -> None:
    song = tmp_path / f"{SCRIPT.replace('/', '-')}.wav"
    soundfile.write(song, clicks((0.3,), 1.0), RATE_HZ)
    page = tmp_path / "page.html"
    arguments = ["transcribe", str(song), "-m", str(MODEL), "-o", str(tmp_path / "a.csv")]
    result = CliRunner().invoke(app, [*arguments, "--html", str(page)])
    assert result.exit_code == 0, result.stderr
    assert "<script>alert" not in page.read_text()
    assert "alert(1)" in page.read_text()
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,time_s,label\n{SCRIPT},0.1,{SCRIPT}\nb.wav,0.1,</title>&<img src=x>\n")
    pages = tmp_path / "pages"
    result = CliRunner().invoke(app, ["evaluate", str(labels), str(labels), "--html", f"{pages}/"])
    assert result.exit_code == 0, result.stderr
    texts = [path.read_text() for path in pages.rglob("*.html")]
    assert len(texts) == 3
    for text in texts:
        assert "<script>alert" not in text
        assert "<img src=x>" not in text


#: Names that become markup, code or a place if somewhere they are not treated as text.
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</script><script>alert(1)//",
    "</title><base href=//x.invalid>",
    "<!--<script>",
    "]]>{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u2028alert(1)\u2029",
    "\\u003c/script>",
    "&lt;script&gt;alert(1)",
)


class _Running(html.parser.HTMLParser):
    """Collects what a browser would run, load or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.handlers += [name for name in values if name.startswith("on")]
        self.links += [values[name] or "" for name in ("href", "src", "action") if name in values]
        self._is_script = tag == "script" and "type" not in values
        if self._is_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts[-1] += data


def require_harmless(page: Path) -> None:
    """Only scripts that the policy names, no handlers, and links only to pages beside this one."""
    text = page.read_text(encoding="utf-8")
    found = _Running()
    found.feed(text)
    assert found.handlers == []
    assert not found.tags & {"img", "base", "iframe", "object", "embed", "svg", "link"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = set(re.findall(r"sha256-([^&']+)", policy[1]))
    hashes = {
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in found.scripts
    }
    assert hashes <= allowed
    for link in found.links:
        assert re.fullmatch(r"[\w./%~-]+\.html", link), link
        assert ".." not in link


def table_of(names: Iterable[str], path: Path) -> Path:
    """Write a table in which recordings, classes and annotators have these names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "time_s", "label", "annotator"])
        writer.writerows([name, "0.1", name, name] for name in names)
    return path


def test_no_name_of_a_table_becomes_more_than_text_in_pages(tmp_path: Path) -> None:
    labels = table_of(HOSTILE, tmp_path / "labels.csv")
    pages = tmp_path / "pages"
    arguments = ["evaluate", str(labels), str(labels), "--classes", "as-written"]
    result = CliRunner().invoke(app, [*arguments, "--html", f"{pages}/"])
    assert result.exit_code == 0, result.stderr
    written = sorted(pages.rglob("*.html"))
    assert len(written) == len(HOSTILE) + 1
    for page in written:
        require_harmless(page)
    told = " ".join(page.read_text(encoding="utf-8") for page in written)
    assert told.count("alert(1)") > len(HOSTILE)  # they are there, as text


def test_no_class_of_a_model_becomes_more_than_text_in_pages(tmp_path: Path) -> None:
    song, model, page = (tmp_path / name for name in ("a.wav", "a.safetensors", "a.html"))
    soundfile.write(song, clicks((0.3,), 1.0), RATE_HZ)
    with safe_open(MODEL, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["softloc"])
    for names in zip(HOSTILE[::2], HOSTILE[1::2], strict=False):
        renamed = {**header, "classes": names}
        save_file(tensors, model, metadata={"softloc": json.dumps(renamed)})
        arguments = ["transcribe", str(song), "-m", str(model), "-f", "json", "--overwrite"]
        out = ["-o", str(tmp_path / "a.json"), "--html", str(page)]
        result = CliRunner().invoke(app, [*arguments, *out])
        assert result.exit_code == 0, result.stderr
        require_harmless(page)


@pytest.mark.parametrize("name", ["..\\private\\private.wav", "x/..\\../private/private.wav"])
def test_ways_out_with_backslashes_are_ways_out(name: str, places: Path) -> None:
    labels = table_of((name,), places / "labels" / "labels.csv")
    arguments = ["evaluate", str(labels), str(labels), "--audio", str(labels.parent)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "lies outside" in result.stderr


@pytest.mark.parametrize("form", ["json", "jams"])
def test_documents_that_name_a_recording_elsewhere_reach_nothing(form: str, places: Path) -> None:
    """Their own name, not what they say of themselves, tells which recording they belong to."""
    labels = places / "labels" / f"labels.{form}"
    write_onsets(
        labels,
        [Onset(0.1, "KD")],
        provenance=Provenance(recording="../private/private.wav"),
    )
    page = places / "page.html"
    arguments = ["evaluate", str(labels), str(labels), "--html", str(page)]
    result = CliRunner().invoke(app, [*arguments, "--audio", str(labels.parent)])
    assert result.exit_code == 0, result.stderr
    assert "private" not in page.read_text(encoding="utf-8").replace(str(places), "")
    model = places / "m.safetensors"
    arguments = ["train", "--labels", str(labels), "-o", str(model), "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    assert "private" not in result.stderr.replace(str(places), "")


def test_training_state_runs_no_command() -> None:
    with pytest.raises(CheckpointError, match="the training state is damaged"):
        load_training_state(FINDINGS / "checkpoints" / "runs-a-command.state")


def test_training_state_is_no_larger_inside_than_outside(tmp_path: Path) -> None:
    path = FINDINGS / "checkpoints" / "compressed-archive.state"
    with pytest.raises(CheckpointError, match=r"\d+ bytes are claimed to be in it"):
        load_training_state(path)
    save_training_state(tmp_path / "a.state", {"w": torch.zeros(100_000)})
    assert len(load_training_state(tmp_path / "a.state")["w"]) == 100_000


def test_messages_obey_no_terminal() -> None:
    told = str(SoftLocError("\x1b]0;title\x07 a\x85b\u2028c\ttab \ud800 ä\nnext"))
    assert told == r"\x1b]0;title\x07 a\x85b\u2028c\ttab \ud800 ä" + "\nnext"
    assert len(printable("x" * 5_000)) == 2_000


def test_escape_sequences_of_file_names_are_not_sent_to_the_terminal(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("names that Windows cannot have")
    song = tmp_path / "\x1b[31mred.wav"
    song.write_bytes(b"no sound")
    result = CliRunner().invoke(app, ["transcribe", str(song), "-m", str(MODEL), "-f", "csv"])
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert r"\x1b[31mred.wav" in result.stderr


def test_json_may_not_name_files_to_be_read(tmp_path: Path) -> None:
    """What a label file says of its recording is told, never opened."""
    labels = tmp_path / "a.json"
    event = {"time_s": 0.5, "label": "KD"}
    labels.write_text(
        json.dumps(
            {
                "format": "softloc-events",
                "format_version": 1,
                "recording": {"file": "../../../etc/passwd"},
                "events": [event],
            }
        )
    )
    out = tmp_path / "b.json"
    result = CliRunner().invoke(app, ["convert", str(labels), str(out)])
    assert result.exit_code == 0
    assert json.loads(out.read_text())["recording"]["sha256"] is None
