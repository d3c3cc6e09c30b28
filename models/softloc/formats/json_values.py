r"""Values of JSON files, checked: what both JSON formats share.

Conventions
-----------
- NaN and infinity, which Python's reader would take, are refused with their line; so is a file that
  is no JSON. Values inside are named by their place, such as ``events[3].time_s``.
- Text with half a surrogate pair (``"\ud800"``) cannot be written again and is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from softloc.errors import AnnotationError
from softloc.formats.lines import fail, read_text

# Strings come first, so that a constant inside one is no constant. Python reads one as soon as it
# is there, whatever follows, as in ``NaN1``.
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    AnnotationError
        If it is missing, no UTF-8 text, no JSON, or holds NaN or an infinite number.
    """
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_Constant)
    except json.JSONDecodeError as error:
        fail(path, error.lineno, f"this is not JSON: {error.msg}")
    except _ConstantError as error:
        match = next(m for m in _STRING_OR_CONSTANT.finditer(text) if not m[0].startswith('"'))
        line = text.count("\n", 0, match.start()) + 1
        raise AnnotationError(f"{path}, line {line}: {match[0]} is not a finite number") from error
    except RecursionError as error:
        raise AnnotationError(f"{path}: its values are nested too deeply") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise AnnotationError(f"{path}: a number in it is too large") from error


class _ConstantError(Exception):
    """NaN or an infinite number was met."""


def _Constant(_: str) -> NoReturn:  # noqa: N802 - stands where a type could
    raise _ConstantError


class Values:
    """The values of one JSON object, each checked as it is taken.

    Parameters
    ----------
    values : object
        What must be an object.
    place : str
        Where it stands in the file, such as ``events[3]``; empty for the whole file.
    path : Path
        The file, for messages.

    Raises
    ------
    AnnotationError
        If it is no object; every method raises it for a value of another type.
    """

    def __init__(self, values: object, place: str, path: Path) -> None:
        self.place = place
        self.path = path
        if not isinstance(values, dict):
            self.fail("", f"must be an object, not {_short(values)}")
        self._values: Mapping[str, Any] = values

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise an `AnnotationError` that names file and place."""
        place = ".".join(part for part in (self.place, key) if part) or "the file"
        raise AnnotationError(f"{self.path}: {place} {message}")

    def get(self, key: str) -> Any:
        """Value as it stands, None where there is none."""
        return self._values.get(key)

    def part(self, key: str) -> Values:
        """Object at a key; an empty one where there is none."""
        value = self.get(key)
        place = f"{self.place}.{key}" if self.place else key
        return Values({} if value is None else value, place, self.path)

    def parts(self, key: str) -> list[Values]:
        """Objects of the list at a key."""
        value = self.get(key)
        if not isinstance(value, list):
            self.fail(key, f"must be a list, not {_short(value)}")
        place = f"{self.place}.{key}" if self.place else key
        return [Values(item, f"{place}[{index}]", self.path) for index, item in enumerate(value)]

    def text(self, key: str) -> str | None:
        """Text at a key, None where it is missing, null or empty."""
        value = self.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.fail(key, f"must be text, not {_short(value)}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            self.fail(key, f"is {value!r}, half of a surrogate pair: the file is damaged")
        return value

    def number(self, key: str) -> float | None:
        """Finite number at a key, None where it is missing or null."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, f"must be a number, not {_short(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.fail(key, "is too large a number")
        return number

    def whole(self, key: str) -> int | None:
        """Whole number at a key, None where it is missing or null."""
        number = self.number(key)
        if number is not None and number != int(number):
            self.fail(key, f"is {number}, not a whole number")
        return None if number is None else int(number)


def _short(value: object) -> str:
    try:
        text = "nothing" if value is None else json.dumps(value)
    except RecursionError:  # deeper than it was to be read
        text = "values nested too deeply"
    return text if len(text) <= 40 else text[:40] + "…"
