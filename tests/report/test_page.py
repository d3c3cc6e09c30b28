"""The page as a file: exact times, names that stay text, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from softloc.errors import SettingsError
from softloc.evaluation import Counts, EvaluationSettings
from softloc.events import Onset
from softloc.report import (
    ClassSummary,
    Comparison,
    IndexEntry,
    ReportSettings,
    chart_library,
    compare_recordings,
    list_events,
    read_media,
    write_index,
    write_report,
)
from softloc.report.page import embed_json

EVIL = "</script><script>alert(1)</script><!--&\"'.wav"

REFERENCE = [Onset(0.123456, "KD"), Onset(1.0, "SD"), Onset(1.5, EVIL)]
ESTIMATE = [Onset(0.131, "KD", velocity=90, confidence=0.75), Onset(1.25, "SD"), Onset(1.5, EVIL)]


class Elements(html.parser.HTMLParser):
    """What a browser would make of a page: elements with attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.is_open = True

    def handle_endtag(self, tag: str) -> None:
        self.is_open = False

    def handle_data(self, data: str) -> None:
        if self.is_open:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)


def parse(path: Path) -> list[tuple[str, dict[str, str | None], str]]:
    elements = Elements()
    elements.feed(path.read_text(encoding="utf-8"))
    return elements.found


def data_of(path: Path) -> dict:
    return json.loads(next(t for _, a, t in parse(path) if a.get("id") == "softloc-data"))


def compare() -> Comparison:
    settings = EvaluationSettings(classes="as-written")
    ((_, comparison),) = compare_recordings({"a": REFERENCE}, {"a": ESTIMATE}, settings)
    return comparison


@pytest.fixture
def recording(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, rng.uniform(-0.5, 0.5, 2 * 44_100), 44_100)
    return path


@pytest.fixture
def page(tmp_path: Path, recording: Path) -> Path:
    path = tmp_path / "page.html"
    details = {"estimate": EVIL}
    write_report(path, EVIL, compare(), read_media(recording), details=details)
    return path


def test_times_are_exact(page: Path) -> None:
    data = data_of(page)
    assert [own["name"] for own in data["classes"]] == ["KD", "SD", EVIL]
    verdicts = [data["verdicts"][index] for index in data["items"]["verdict"]]
    assert verdicts == ["hit", "miss", "false alarm", "hit"]
    assert data["items"]["reference_us"] == [123_456, 1_000_000, None, 1_500_000]
    assert data["items"]["estimate_us"] == [131_000, None, 1_250_000, 1_500_000]
    assert data["items"]["class"] == [0, 1, 1, 2]
    assert data["items"]["velocity"] == [90, None, None, None]
    assert data["items"]["confidence"] == [0.75, None, None, None]
    assert data["tolerance_us"] == 50_000
    assert data["duration_s"] == 2.0


def test_names_stay_text(page: Path) -> None:
    elements = parse(page)
    titles = [text for tag, _, text in elements if tag in ("title", "h1")]
    assert [text.strip() for text in titles] == [f"{EVIL} – softloc", EVIL]
    scripts = [text for tag, _, text in elements if tag == "script"]
    # Data, waveform, spectrogram, one part of audio, uPlot, ours.
    assert len(scripts) == 6
    assert not any("alert(1)" in text for text in scripts[1:])
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_json_cannot_leave_its_element() -> None:
    text = str(embed_json({EVIL: ["\u2028", "<!--", "]]>"]}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {EVIL: ["\u2028", "<!--", "]]>"]}


def test_only_the_scripts_of_the_page_may_run(page: Path) -> None:
    elements = parse(page)
    policy = next(
        a["content"] for _, a, _ in elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, own in (("script", "script-src"), ("style", "style-src")):
        listed = set(re.findall(r"sha256-([^']+)", policy.split(own)[1].split(";")[0]))
        texts = [t for tag, a, t in elements if tag == kind and "type" not in a]
        hashes = {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts}
        assert len(texts) == 2
        assert hashes == listed


def test_nothing_is_loaded_from_outside(page: Path) -> None:
    elements = parse(page)
    assert not [a for _, a, _ in elements if {"src", "href", "srcset", "data"} & set(a)]
    styles = [text for tag, _, text in elements if tag == "style"]
    assert not [text for text in styles if "url(" in text or "@import" in text]


def test_the_licence_of_the_library_comes_along(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "Leon Sorokin" in text
    assert "The above copyright notice and this permission notice shall be included" in text


def test_pictures_and_audio_are_inside(page: Path, recording: Path) -> None:
    media = read_media(recording)
    content = {a["id"]: text for _, a, text in parse(page) if a.get("type") == "text/plain"}
    assert set(content) == {"waveform-data", "spectrogram-data", "audio-0"}
    waveform = zlib.decompress(base64.b64decode(content["waveform-data"]))
    assert waveform == media.waveform.extremes.tobytes()
    assert media.audio is not None
    assert base64.b64decode(content["audio-0"]) == media.audio.parts[0]
    n_cells, n_bands = media.spectrogram.levels.shape
    assert data_of(page)["media"]["spectrogram"]["n_cells"] == n_cells
    spectrogram = zlib.decompress(base64.b64decode(content["spectrogram-data"]))
    assert len(spectrogram) == n_cells * n_bands


def test_scores_are_in_the_table(page: Path) -> None:
    cells = [text for tag, _, text in parse(page) if tag == "td"]
    # KD: a hit 7.544 ms late.
    assert cells[:8] == ["1", "0", "0", "1.000", "1.000", "1.000", "+7.5", "0.0"]
    total = cells[24:32]
    assert total[:3] == ["2", "1", "1"]


def test_a_page_without_sound_says_why(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_report(path, "a", compare(), None, silence_reason="no such recording in <here>")
    assert "No sound: no such recording in &lt;here&gt;" in path.read_text(encoding="utf-8")
    assert data_of(path)["media"] is None
    assert data_of(path)["duration_s"] > 1.5


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    write_report(path, name, list_events([Onset(0.5, name)]), None, silence_reason=name)
    assert data_of(path)["title"] == "caf?.wav"


def test_the_audio_of_a_page_can_be_left_out(tmp_path: Path, recording: Path) -> None:
    path = tmp_path / "page.html"
    media = read_media(recording, ReportSettings(max_audio_bytes=100))
    write_report(path, "a", list_events([Onset(0.5, "KD")]), media)
    assert data_of(path)["media"]["audio"] is None


def test_index_links_to_the_pages(tmp_path: Path) -> None:
    name = 'drums/100% "loud" #1'
    entry = IndexEntry(name, f"{name}.html", compare().summarise())
    write_index(tmp_path / "index.html", "estimates", [entry, entry], 0.05)
    elements = parse(tmp_path / "index.html")
    link = next(a["href"] for tag, a, _ in elements if tag == "a")
    assert link == "drums/100%25%20%22loud%22%20%231.html"
    cells = [text for tag, _, text in elements if tag == "td"]
    assert cells[:4] == ["2", "1", "1", "0.667"]
    assert cells[16:20] == ["4", "2", "2", "0.667"]  # the sum
    assert any("±50 ms · 2 recordings" in text for _, _, text in elements)


def test_no_bias_has_no_minus(tmp_path: Path) -> None:
    entry = IndexEntry("a", "a.html", ClassSummary(Counts(tp=1), -0.04, 0.0))
    write_index(tmp_path / "index.html", "estimates", [entry], 0.05)
    cells = [text for tag, _, text in parse(tmp_path / "index.html") if tag == "td"]
    assert cells[6] == cells[14] == "+0.0"


def test_signs_are_explained_where_there_are_verdicts(tmp_path: Path) -> None:
    for comparison, explained in ((compare(), True), (list_events([Onset(0.5, "KD")]), False)):
        write_report(tmp_path / "page.html", "a", comparison, None)
        elements = parse(tmp_path / "page.html")
        assert any(a.get("class") == "legend" for _, a, _ in elements) == explained


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chart_library, "_folders", lambda: iter([tmp_path]))
    with pytest.raises(SettingsError, match="pip install uplot-python"):
        chart_library.load_chart_library()
