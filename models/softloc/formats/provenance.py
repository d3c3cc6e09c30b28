"""What a file of events may say beside its events: who made them, of which recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from softloc.versions import installed_version

DataSource = Literal["program", "manual"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where events come from; every part may be unknown.

    Attributes
    ----------
    model_id : str or None
        Model that found the events.
    vocabulary : str or None
        Vocabulary of its labels, by name (``"5"``) or as a list (``"KD,SD,HH"``).
    recording : str or None
        File name of the recording.
    sha256 : str or None
        Hash of the recording's bytes, 64 hexadecimal digits.
    duration_s : float or None
        Length of the recording.
    sample_rate_hz : float or None
        The recording's own sample rate.
    data_source : {"program", "manual"} or None
        Whether a program or a person set the events; None takes a program where a model is named or
        an event has a confidence.
    softloc_version : str
        Version that writes.
    """

    model_id: str | None = None
    vocabulary: str | None = None
    recording: str | None = None
    sha256: str | None = None
    duration_s: float | None = None
    sample_rate_hz: float | None = None
    data_source: DataSource | None = None
    softloc_version: str = field(default_factory=partial(installed_version, "softloc"))


def as_data_source(text: str | None) -> DataSource | None:
    """Tell who set the events by what a file says; None where it says something else."""
    if text == "program":
        return "program"
    return "manual" if text == "manual" else None
