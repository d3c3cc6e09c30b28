"""A report: one HTML file with everything inside, to be opened without a network.

Conventions
-----------
- Names and labels are text: the template escapes them, and the data are JSON in which ``<``, ``>``
  and ``&`` are written as escapes, so that no name can end the element that holds it.
- Only the scripts of this page run: a content security policy names their SHA-256 and forbids
  every connection.
- Large data (audio, waveform, spectrogram) stand in elements of their own as base64; the two
  pictures are deflated.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from softloc.decoders import AudioSource
from softloc.evaluation import package_versions
from softloc.files import write_text_atomic
from softloc.report.chart_library import load_chart_library
from softloc.report.clicks import CLICK_S, DECAY_S, click_pitches
from softloc.report.comparison import ClassSummary, Comparison, Verdict, sum_summaries
from softloc.report.embedding import EmbeddedAudio, embed_audio
from softloc.report.pictures import (
    N_LEVELS,
    SpectrogramPicture,
    WaveformPicture,
    draw_spectrogram,
    draw_waveform,
)
from softloc.report.recordings import measure_recording
from softloc.report.settings import ReportSettings

_SCRIPTS = ("data.js", "view.js", "player.js", "panels.js", "events.js", "page.js")
_VERDICTS = tuple(Verdict)
#: Beyond the last event of a page without audio, so that it does not stand at the very edge.
_MARGIN_S = 1.0
#: Of a confidence.
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ReportMedia:
    """What can be seen and heard of a recording.

    Attributes
    ----------
    duration_s : float
        Its length.
    sample_rate_hz : int
        That the pictures count in.
    embedded_peak : float
        Largest absolute sample of the embedded audio; it fills the height of the waveform.
    waveform : WaveformPicture
        Its shape.
    spectrogram : SpectrogramPicture
        Its sound.
    audio : EmbeddedAudio or None
        None where it is too long to be embedded.
    """

    duration_s: float
    sample_rate_hz: int
    embedded_peak: float
    waveform: WaveformPicture
    spectrogram: SpectrogramPicture
    audio: EmbeddedAudio | None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of an index.

    Attributes
    ----------
    name : str
        The recording.
    link : str
        Relative path of its page, with ``/``.
    summary : ClassSummary
        All its classes together.
    """

    name: str
    link: str
    summary: ClassSummary


def read_media(
    source: AudioSource, settings: ReportSettings | None = None, *, warn: bool = True
) -> ReportMedia:
    """Read a recording for a report: draw it and encode it.

    Parameters
    ----------
    source : Path or seekable binary file
        The recording.
    settings : ReportSettings, optional
        Sizes.
    warn : bool
        Log what is wrong with it, once.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    settings = settings or ReportSettings()
    recording = measure_recording(source, warn=warn)
    return ReportMedia(
        duration_s=recording.duration_s,
        sample_rate_hz=recording.sample_rate_hz,
        embedded_peak=recording.gain * recording.peak,
        waveform=draw_waveform(recording, settings),
        spectrogram=draw_spectrogram(recording, settings),
        audio=embed_audio(recording, settings),
    )


def write_report(
    path: Path,
    title: str,
    comparison: Comparison,
    media: ReportMedia | None,
    *,
    silence_reason: str = "",
    details: Mapping[str, str] | None = None,
) -> None:
    """Write a page, all or nothing.

    Parameters
    ----------
    path : Path
        HTML file to write.
    title : str
        Name of the recording.
    comparison : Comparison
        Its events.
    media : ReportMedia or None
        What can be seen and heard of it; None makes a silent page.
    silence_reason : str
        Why there is none; the page says so.
    details : mapping, optional
        More that the reader should know of how it was made, shown at the foot of the page.

    Raises
    ------
    SettingsError
        If uPlot is not there.
    OutputError
        If the file cannot be written.
    """
    data = page_data(title, comparison, media, silence_reason)
    elements = {} if media is None else _elements(media)
    rows = _score_rows(comparison) if comparison.has_reference else []
    write_text_atomic(path, _render_page(data, elements, rows, details or {}))


def write_index(
    path: Path,
    title: str,
    entries: Sequence[IndexEntry],
    tolerance_s: float,
    details: Mapping[str, str] | None = None,
) -> None:
    """Write a table of the recordings with links to their pages, and their sum, all or nothing.

    Parameters
    ----------
    path : Path
        HTML file to write.
    title : str
        What was evaluated.
    entries : sequence of IndexEntry
        The recordings.
    tolerance_s : float
        Within which an estimate is a hit, seconds.
    details : mapping, optional
        Shown at the foot of the page.
    """
    style = _asset("report.css")
    rows = [
        {"link": quote(os.fsencode(entry.link)), **_summary(entry.name, entry.summary)}
        for entry in entries
    ]
    text = _template("index.html.j2").render(
        title=_printable(title),
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy([], [style]),
        rows=rows,
        total=_summary("sum", sum_summaries([entry.summary for entry in entries])),
        tolerance=f"±{1000 * tolerance_s:g} ms",
        details=_provenance(details or {}),
    )
    write_text_atomic(path, text)


def page_data(
    title: str, comparison: Comparison, media: ReportMedia | None, silence_reason: str = ""
) -> dict[str, Any]:
    """Collect what the script of a page knows, save the large data.

    Times are whole microseconds; an item's class and verdict are indices.
    """
    index = {label: i for i, label in enumerate(comparison.classes)}
    pitches = click_pitches(comparison.classes)
    items = comparison.items
    last_us = max((0, *(item.time_us for item in items)))
    return {
        "title": _printable(title),
        "duration_s": last_us / 1e6 + _MARGIN_S if media is None else media.duration_s,
        "tolerance_us": None
        if comparison.tolerance_s is None
        else round(comparison.tolerance_s * 1e6),
        "classes": [
            {"name": _printable(label), "click_hz": round(pitch, 3)}
            for label, pitch in zip(comparison.classes, pitches, strict=True)
        ],
        "verdicts": [str(verdict) for verdict in _VERDICTS],
        "items": {
            "class": [index[item.label] for item in items],
            "verdict": [_VERDICTS.index(item.verdict) for item in items],
            "reference_us": [item.reference_us for item in items],
            "estimate_us": [item.estimate_us for item in items],
            "confidence": [
                None if item.estimate is None else _rounded(item.estimate.confidence)
                for item in items
            ],
            "velocity": [
                None if item.estimate is None else item.estimate.velocity for item in items
            ],
        },
        "click": {"length_s": CLICK_S, "decay_s": DECAY_S},
        "silence_reason": _printable(silence_reason) if media is None else "",
        "unscored": {_printable(k): n for k, n in (comparison.unscored or {}).items()},
        "media": None if media is None else _media_data(media),
    }


def embed_json(data: object) -> Markup:
    """Write JSON that may stand inside a script element, whatever the strings in it say."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing is left in it that could be markup


def _render_page(
    data: Mapping[str, Any],
    elements: Mapping[str, str],
    rows: Sequence[Mapping[str, str]],
    details: Mapping[str, str],
) -> str:
    library = load_chart_library()
    ours = "\n".join(_asset(name) for name in _SCRIPTS)
    scripts = [library.script, f'(() => {{\n"use strict";\n{ours}\n}})();']
    styles = [library.style, _asset("report.css")]
    return _template("page.html.j2").render(
        title=data["title"],
        data=embed_json(data),
        elements=elements,
        # Our own files and uPlot's: trusted, and named by their hash in the policy.
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        styles=[Markup(style) for style in styles],  # noqa: S704
        policy=_policy(scripts, styles),
        licence=_asset("uPlot-LICENSE.txt"),
        has_reference=data["tolerance_us"] is not None,
        rows=rows,
        silence_reason=data["silence_reason"],
        unscored=data["unscored"],
        details=_provenance(details),
    )


def _score_rows(comparison: Comparison) -> list[dict[str, str]]:
    names = [*comparison.classes, None]
    return [_summary(name or "all", comparison.summarise(name)) for name in names]


def _media_data(media: ReportMedia) -> dict[str, Any]:
    audio = media.audio
    return {
        "sample_rate_hz": media.sample_rate_hz,
        "embedded_peak": media.embedded_peak,
        "waveform": {
            "bin_samples": media.waveform.bin_samples,
            "n_bins": len(media.waveform.extremes),
        },
        "spectrogram": {
            "hop_samples": media.spectrogram.hop_samples,
            "n_cells": media.spectrogram.levels.shape[0],
            "n_bands": media.spectrogram.levels.shape[1],
            "n_levels": N_LEVELS,
            "min_hz": media.spectrogram.min_hz,
            "max_hz": media.spectrogram.max_hz,
        },
        "audio": None
        if audio is None
        else {
            "codec": audio.codec,
            "sample_rate_hz": audio.sample_rate_hz,
            "n_samples": audio.n_samples,
            "part_samples": audio.part_samples,
            "lead_samples": audio.lead_samples,
            "n_parts": len(audio.parts),
        },
    }


def _elements(media: ReportMedia) -> dict[str, str]:
    """Encode the large data; by the id of the element that holds them."""
    elements = {
        "waveform-data": _deflated(media.waveform.extremes.tobytes()),
        "spectrogram-data": _deflated(media.spectrogram.levels.tobytes()),
    }
    for index, part in enumerate(media.audio.parts if media.audio else ()):
        elements[f"audio-{index}"] = base64.b64encode(part).decode("ascii")
    return elements


def _deflated(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def _provenance(details: Mapping[str, str]) -> dict[str, str]:
    versions = package_versions()
    made_with = f"softloc {versions['softloc']}"
    return {
        "made with": made_with,
        **{_printable(name): _printable(text) for name, text in details.items()},
    }


def _policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Content security policy: these scripts and styles, nothing else, and no network."""
    allowed = {"script-src": scripts, "style-src": styles}
    rules = ["default-src 'none'"]
    for name, texts in allowed.items():
        hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in texts)
        rules.append(f"{name} {hashes or chr(39) + 'none' + chr(39)}")
    return "; ".join(rules)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _template(name: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_asset(name))


def _asset(name: str) -> str:
    return (files("softloc.report") / "assets" / name).read_text(encoding="utf-8")


def _printable(text: str) -> str:
    """Text that can be written as UTF-8: names of files may hold bytes that are none."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)


def _summary(name: str, summary: ClassSummary) -> dict[str, str]:
    counts = summary.counts
    ratios = counts.ratios
    numbers = [None] * 3 if ratios is None else [ratios.precision, ratios.recall, ratios.f_measure]
    cells = ["–" if number is None else f"{number:.3f}" for number in numbers]
    return {
        "name": _printable(name),
        "hits": str(counts.tp),
        "misses": str(counts.fn),
        "false_alarms": str(counts.fp),
        "precision": cells[0],
        "recall": cells[1],
        "f_measure": cells[2],
        "bias_ms": _signed(summary.bias_ms),
        "sigma_ms": "–" if summary.sigma_ms is None else f"{summary.sigma_ms:.1f}",
    }


def _signed(value: float | None) -> str:
    # + 0.0: no minus zero
    return "–" if value is None else f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")
