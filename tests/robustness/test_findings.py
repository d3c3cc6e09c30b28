"""Every file that once broke a reader, and files that claim what they do not hold."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.robustness.mutations import mutate
from benchmarks.robustness.rules import BrokenRuleError, check_refusal, run_command
from benchmarks.robustness.targets import FINDINGS, TARGETS
from softloc.audio import read_audio
from softloc.errors import AnnotationError, AudioError
from softloc.formats import read_onsets

FILES = sorted(path for path in FINDINGS.rglob("*") if path.is_file())

#: An input that claims gigabytes must not get them.
MAX_GROWTH_BYTES = 200 << 20

#: What is refused, whatever else is improved; all others may also be read.
NEVER_READ = ("entit", "claims", "billion", "-0.", "nan", "surrogate", "runs-a-command",
              "of-1-sample", "is-half")  # fmt: skip


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in FILES]
)
def test_finding_is_read_or_refused_in_a_sentence(path: Path, tmp_path: Path) -> None:
    target = TARGETS[path.parent.name]
    copied = Path(shutil.copy(path, tmp_path))
    before = peak_bytes()
    was_read = target.attempt(copied)
    assert peak_bytes() - before < MAX_GROWTH_BYTES
    if any(word in path.name for word in NEVER_READ) and path.suffix != ".wav":
        assert not was_read


@pytest.mark.parametrize("target", TARGETS)
def test_findings_go_through_the_command_line(target: str, tmp_path: Path) -> None:
    for path in sorted((FINDINGS / target).iterdir())[:3]:
        TARGETS[target].command(Path(shutil.copy(path, tmp_path)))


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_read_and_damage_is_survived(target: str, tmp_path: Path) -> None:
    """A campaign of a few inputs; the long ones are started by hand."""
    import random

    attacked = TARGETS[target]
    rng = random.Random(7)
    for name, data in attacked.seeds():
        path = tmp_path / f"input{Path(name).suffix}"
        path.write_bytes(data)
        if name != "junk.mp3":
            assert attacked.attempt(path), name
        for _ in range(6):
            path.write_bytes(mutate(data, rng, attacked.tokens, attacked.max_bytes))
            attacked.attempt(path)


def test_a_first_line_longer_than_any_field_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a" * 200_000 + "\n0.5,KD\n")
    with pytest.raises(AnnotationError, match="neither an event"):
        read_onsets(path)
    path.write_text("0.5 " + "a" * 200_000 + "\n")
    assert len(read_onsets(path)[0].label) == 200_000


def test_device_is_not_read(tmp_path: Path) -> None:
    for suffix in (".csv", ".mid", ".svl"):
        link = tmp_path / f"zero{suffix}"
        link.symlink_to("/dev/zero")
        with pytest.raises(AnnotationError, match="it is a device"):
            read_onsets(link)
    link = tmp_path / "zero.wav"
    link.symlink_to("/dev/zero")
    with pytest.raises(AudioError, match="is a device"):
        read_audio(link, 44_100)


def test_rules_can_be_broken(tmp_path: Path) -> None:
    with pytest.raises(BrokenRuleError):
        check_refusal(AnnotationError("two\nlines"))
    with pytest.raises(BrokenRuleError):
        check_refusal(AnnotationError(""))
    with pytest.raises(BrokenRuleError, match="exit code 2"):
        run_command(["convert", str(tmp_path / "none.csv"), "-f", "csv"], (0,))
