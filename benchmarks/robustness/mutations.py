"""Ways to damage a file, drawn from a seeded source."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

#: Headers are damaged as often as all the rest.
_HEADER_BYTES = 128
_MAX_CHANGES = 6

#: What a setting of a model may be changed into.
_NASTY: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 7, 255, 65_537, 10**6, 10**9, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308, -0.0,
    math.nan, math.inf, True, None, "", "KD", "1", "\ud800", [], [1], [[]], {}, {"a": 1},
)  # fmt: skip

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def mutate(data: bytes, rng: random.Random, tokens: Sequence[bytes], max_bytes: int) -> bytes:
    """Change a few places of a file.

    Parameters
    ----------
    data : bytes
        Sound or damaged file.
    rng : random.Random
        Source of all draws.
    tokens : sequence of bytes
        What to put in.
    max_bytes : int
        What comes out is cut to it.
    """
    if is_model(data) and rng.random() < 0.7:
        return _change_settings(data, rng)[:max_bytes]
    damaged = bytearray(data)
    for _ in range(rng.randint(1, _MAX_CHANGES)):
        rng.choice(_CHANGES)(damaged, rng, tokens)
    return bytes(damaged[:max_bytes])


def is_model(data: bytes) -> bool:
    """Whether a file starts like safetensors: a length, then JSON."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)


def _place(data: bytearray, rng: random.Random) -> int:
    header = min(len(data), _HEADER_BYTES)
    return rng.randint(0, header if rng.random() < 0.5 else len(data))


def _flip(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[min(_place(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random, tokens: Sequence[bytes]) -> None:
    place, token = _place(data, rng), rng.choice(tokens)
    data[place : place + len(token)] = token


def _insert(data: bytearray, rng: random.Random, tokens: Sequence[bytes]) -> None:
    place = _place(data, rng)
    data[place:place] = rng.choice(tokens) if rng.random() < 0.7 else rng.randbytes(4)


def _remove(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = _place(data, rng)
    del data[place : place + rng.choice((1, 1, 2, 4, 16, 256))]


def _repeat(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = _place(data, rng)
    piece = data[place : place + rng.choice((1, 2, 8, 64))]
    data[place:place] = piece * rng.choice((1, 2, 8, 64))


def _cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _move_lines(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), lines.pop(rng.randrange(len(lines))))
    data[:] = b"\n".join(lines)


_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _overwrite, _overwrite, _insert, _insert, _remove, _repeat, _cut, _move_lines
)  # fmt: skip


def _change_settings(data: bytes, rng: random.Random) -> bytes:
    """Change values of a model's header, which stays readable."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        settings = json.loads(header["__metadata__"]["softloc"])
    except (ValueError, KeyError, TypeError):
        return data
    for _ in range(rng.randint(1, 3)):
        _change_value(settings if rng.random() < 0.85 else header, rng)
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["softloc"] = json.dumps(settings)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _change_value(values: Any, rng: random.Random) -> None:
    """Replace, remove or repeat one value somewhere inside."""
    while isinstance(values, dict | list):
        keys = list(values) if isinstance(values, dict) else list(range(len(values)))
        if not keys:
            return
        key = rng.choice(keys)
        inside = values[key]
        if isinstance(inside, dict | list) and inside and rng.random() < 0.8:
            values = inside
            continue
        if rng.random() < 0.1:
            del values[key]
        elif isinstance(values, list) and rng.random() < 0.2:
            values.append(copy.deepcopy(inside))
        else:
            values[key] = copy.deepcopy(rng.choice(_NASTY))
        return
