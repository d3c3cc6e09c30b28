"""What must hold for any input, however damaged: read, or refused in one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from softloc.errors import SoftLocError

#: Most a sentence may have, so that a message never repeats a whole file.
MAX_SENTENCE_CHARACTERS = 2_100


class BrokenRuleError(Exception):
    """An input was answered in a way that no input may be answered."""


class Answer(NamedTuple):
    """Exit code of a command and what it said on stderr."""

    code: int
    said: str


def check_refusal(error: SoftLocError) -> None:
    """Check that an error is one sentence.

    Raises
    ------
    BrokenRuleError
        If it is empty, longer than any sentence, or has several lines.
    """
    text = str(error)
    if not text or len(text.splitlines()) != 1 or len(text) > MAX_SENTENCE_CHARACTERS:
        raise BrokenRuleError(f"not one sentence: {text[:200]!r}")


def run_command(arguments: Sequence[str], codes: Sequence[int]) -> Answer:
    """Run ``softloc`` in this process, and check its exit code and its words.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line.
    codes : sequence of int
        Exit codes that are allowed.

    Raises
    ------
    BrokenRuleError
        If the code is another one, a failure is not told in one sentence, or there is a traceback.
    """
    from typer.testing import CliRunner  # noqa: PLC0415 - instrumented imports come first

    from softloc_cli.app import app  # noqa: PLC0415

    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    told = [line for line in result.stderr.split("\n") if line.startswith("error: ")]
    if result.exit_code not in codes or "Traceback" in result.stderr:
        raise BrokenRuleError(f"exit code {result.exit_code}: {result.stderr[-300:]}")
    if result.exit_code and (len(told) != 1 or len(told[0]) > MAX_SENTENCE_CHARACTERS):
        raise BrokenRuleError(f"exit code {result.exit_code} without a sentence: {result.stderr}")
    return Answer(result.exit_code, result.stderr)


def without_path(text: str, path: Path) -> str:
    """Take a path out of a message, so that messages can be compared."""
    return re.sub(re.escape(str(path)), "FILE", text)
