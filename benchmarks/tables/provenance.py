"""Whose samples the shipped models were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json

#: Author of kits that were synthesised.
OURSELVES = "softloc"


def kits_table() -> str:
    """List whose drum samples the shipped models were trained on."""
    kits = [row for row in read_json("credits.json")["kits"] if row["author"] != OURSELVES]
    return _credits("kit", kits)


def instruments_table() -> str:
    """List whose pitched samples the shipped models were trained on."""
    recorded = read_json("credits.json")["instruments"]
    sources = [row | {"instrument": _soundfont_or_name(row["instrument"])} for row in recorded]
    return _credits("instrument", sources)


def _soundfont_or_name(instrument: str) -> str:
    """Name the instruments of a sound font together: they are all of General MIDI."""
    return "112 programs of Fluid R3" if instrument.startswith("gm_") else instrument


def _credits(what: str, sources: Iterable[Mapping[str, str]]) -> str:
    authors: dict[tuple[str, str], list[str]] = {}
    for row in sources:
        kept = authors.setdefault((row[what], row["licence"]), [])
        if row["author"] not in kept:
            kept.append(row["author"])
    rows = [(name, licence, " · ".join(names)) for (name, licence), names in authors.items()]
    return table((what, "licence", "authors"), sorted(rows))
