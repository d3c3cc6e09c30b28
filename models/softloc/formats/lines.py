r"""What all text formats share: decoding, comments, numbers, and errors with file and line.

Conventions
-----------
- Text is UTF-8, with or without a byte order mark; line ends may be ``\n`` or ``\r\n``.
- Lines that start with ``#`` and blank lines carry nothing.
- Numbers have a decimal point; NaN and infinity are no times.
"""

from __future__ import annotations

import codecs
import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from softloc.errors import AnnotationError

#: Label of an event in a file that gives times only: an onset of any instrument.
UNNAMED = "ON"

# Python's float() also takes "1_000" and "nan"; a label file that holds those is damaged.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+[\s;]")


class NotLabelsError(AnnotationError):
    """Text that was never meant as labels, such as a README beside them; folders skip it."""


class Line(NamedTuple):
    """A line that carries something, and its number in the file, from 1."""

    number: int
    text: str


def read_text(path: Path) -> str:
    """Text of a file.

    Parameters
    ----------
    path : Path
        File to read.

    Returns
    -------
    str
        Its text without a byte order mark.

    Raises
    ------
    AnnotationError
        If the file is missing or is no UTF-8 text (a spreadsheet's UTF-16, most likely).
    """
    content = read_content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse_encoding(path, content, error.start)
    # ASCII in UTF-16 without a mark is valid UTF-8 with a zero beside each character.
    if "\0" in text:
        _refuse_encoding(path, content, content.index(0))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_content(path: Path) -> bytes:
    """All bytes of a label file or of a pipe; of a device, which may never end, none.

    Raises
    ------
    AnnotationError
        If it cannot be read.
    """
    if path.is_char_device() or path.is_block_device():
        raise AnnotationError(f"cannot read {path}: it is a device")
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"cannot read {path}: {error.strerror or error}") from error


def _refuse_encoding(path: Path, content: bytes, byte: int) -> NoReturn:
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content
    cause = "it looks like UTF-16; " if utf_16 else ""
    fail(
        path,
        content.count(b"\n", 0, byte) + 1,
        f"this is not UTF-8 text (byte {byte}); {cause}"
        "if a spreadsheet wrote it, save it as 'CSV UTF-8'",
    )


def split_lines(text: str) -> Iterator[str]:
    """Lines of a text, one at a time: a corpus has millions."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def is_comment(line: str) -> bool:
    """Whether a line carries nothing because it starts with ``#``."""
    return "#" in line and line.lstrip().startswith("#")


def content_lines(text: str) -> Iterator[Line]:
    """Lines that are neither blank nor comments, with their numbers."""
    for number, line in enumerate(split_lines(text), start=1):
        if not is_comment(line) and line.strip():
            yield Line(number, line.rstrip("\r"))


def is_number(field: str) -> bool:
    """Whether a field is a finite decimal number."""
    return _NUMBER.fullmatch(field) is not None


def looks_like_number(field: str) -> bool:
    """Whether a field is a number or was meant as one (``nan``, ``inf``)."""
    return is_number(field) or field.lower().lstrip("+-") in {"nan", "inf", "infinity"}


def parse_number(field: str, what: str, path: Path, line: int) -> float:
    """Value of a field that must be a finite number.

    Parameters
    ----------
    field : str
        The field, stripped.
    what : str
        Name of the field for the message.
    path : Path
        File it is in.
    line : int
        Line it is in.

    Returns
    -------
    float
        Its value.

    Raises
    ------
    AnnotationError
        If it is not a finite number.
    """
    if not is_number(field):
        hint = ": decimals need a point, not a comma" if "," in field else ""
        fail(path, line, f"{what} is {field!r}, not a finite number{hint}")
    value = float(field)
    if not math.isfinite(value):
        fail(path, line, f"{what} is {field}, too large")
    return value


def fail(path: Path, line: int, message: str) -> NoReturn:
    """Raise an `AnnotationError` that names file and line."""
    raise AnnotationError(f"{path}, line {line}: {message}")


@contextlib.contextmanager
def located(path: Path, line: int) -> Iterator[None]:
    """Put file and line before the message of an `AnnotationError` from the block."""
    try:
        yield
    except AnnotationError as error:
        raise AnnotationError(f"{path}, line {line}: {error}") from error


def has_decimal_comma(line: str) -> bool:
    """Whether a line starts with a number such as ``0,512`` followed by another column."""
    return _DECIMAL_COMMA.match(line.lstrip()) is not None
