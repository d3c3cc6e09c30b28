"""Make the golden files of formats, perturb and evaluation again, and the table of formats.

Run ``python tests/golden/regenerate.py`` after a change that is meant to change results, look at
the difference, and say in the changelog what changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from softloc.evaluation import (
    Evaluation,
    EvaluationSettings,
    bootstrap,
    evaluate,
    to_json,
    to_latex,
)
from softloc.events import Corpus, Onset, sort_onsets
from softloc.formats import (
    Provenance,
    WriteContext,
    formats_table,
    render_corpus_csv,
    render_text,
    write_onsets,
)
from softloc.perturb import Noise, PerturbSettings, perturb

GOLDEN = Path(__file__).parent
FORMATS_PAGE = GOLDEN.parents[1] / "docs" / "formats.md"

PROVENANCE = Provenance(
    model_id="golden",
    vocabulary="9",
    recording="song.wav",
    sha256="0123456789abcdef" * 4,
    duration_s=2.5,
    sample_rate_hz=44_100,
    softloc_version="0",
)

PERTURBATIONS = {
    "normal": PerturbSettings(noise=Noise("normal", 25.0)),
    "rounded": PerturbSettings(noise=Noise("rounded", 25.0), step_ms=10.0, seed=1),
    "uniform": PerturbSettings(noise=Noise("uniform", 40.0), per="file"),
    "shift": PerturbSettings(noise=Noise("shift", 50.0), per="annotator"),
    "skew": PerturbSettings(noise=Noise("skew", 30.0), offset_ms=10.0, drift_ppm=200.0),
    "laplace": PerturbSettings(
        noise=Noise("laplace", 30.0), drop=0.2, insert=0.2, swap=0.2, bounds="drop"
    ),
}


def labels() -> Corpus:
    """Two bars of rock and one of silence, from two annotators."""
    beats = [
        Onset(0.25 * step, label, annotator=annotator)
        for annotator, steps in (("ann", range(8)), ("bob", range(8, 16)))
        for step in steps
        for label in ("HH", *(("KD",) if step % 4 == 0 else ("SD",) if step % 4 == 2 else ()))
    ]
    return Corpus(
        Path("labels.csv"),
        "table",
        Path(),
        {"a/rock.wav": sort_onsets(beats), "b/rock.wav": sort_onsets(beats), "silence.wav": []},
    )


def events() -> list[Onset]:
    """One event of each drum class, with and without optional values."""
    names = ("KD", "SD", "HH", "OH", "TT", "CY", "RD", "BE", "CL", "ON")
    plain = [Onset(0.1234567 * index, label) for index, label in enumerate(names)]
    return [*plain, Onset(2.0, "KD", velocity=1, confidence=1.0, time_std_s=0.001)]


def latex(corpus: Corpus, noisy: Evaluation) -> str:
    """Table of two estimates, with names that LaTeX would not print as they are."""
    perfect = evaluate(corpus.recordings, corpus.recordings, noisy.settings)
    both = {"100 %_perfect": perfect, "[noisy] & so on": noisy}
    return to_latex(both, bootstrap(list(both.values())), ["made\nfor tests", "100 % of it"])


def golden_files() -> dict[str, bytes]:
    """Content of every golden file, by name."""
    texts = {f"events.{form}.txt": render_text(events(), form) for form in ("tsv", "audacity")}
    texts["events.csv"] = render_text(events(), "csv")
    for form in ("json", "jams", "svl"):
        context = WriteContext(comment="golden", provenance=PROVENANCE)
        texts[f"events.{form}"] = render_text(events(), form, context)
    corpus = labels()
    texts["labels.csv"] = render_corpus_csv(corpus.recordings, [])
    for name, settings in PERTURBATIONS.items():
        noisy, _ = perturb(corpus, settings, {"a/rock.wav": 4.0})
        texts[f"perturbed-{name}.csv"] = render_corpus_csv(noisy.recordings, [settings.describe()])
    noisy, _ = perturb(corpus, PERTURBATIONS["laplace"])
    evaluation = evaluate(corpus.recordings, noisy.recordings, EvaluationSettings())
    texts["scores.tex"] = latex(corpus, evaluation)
    scores = to_json(evaluation)
    del scores["versions"]
    texts["scores.json"] = json.dumps(scores, indent=1) + "\n"
    files = {name: text.encode() for name, text in texts.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.mid"
        write_onsets(path, events(), comment="golden")
        files["events.mid"] = path.read_bytes()
    return files


def formats_page() -> str:
    """Text of the page on formats, its table made from the registry."""
    before, _, rest = FORMATS_PAGE.read_text(encoding="utf-8").partition("<!-- formats -->\n")
    _, end, after = rest.partition("<!-- /formats -->")
    return f"{before}<!-- formats -->\n{formats_table()}{end}{after}"


if __name__ == "__main__":
    FORMATS_PAGE.write_text(formats_page(), encoding="utf-8")
    for name, content in golden_files().items():
        path = GOLDEN / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stdout.write(f"changed: {path} (NumPy {np.__version__})\n")
