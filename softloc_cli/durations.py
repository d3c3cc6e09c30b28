"""Where the recordings of labels are, for commands that only need to know how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

Outside = Annotated[
    bool,
    typer.Option(
        "--outside", help="Labels may name recordings outside of the folder: they are trusted."
    ),
]


def durations_s(names: Iterable[str], audio: Path, *, outside: bool = False) -> dict[str, float]:
    """Length of recordings, seconds.

    Parameters
    ----------
    names : iterable of str
        Recordings as a corpus of labels names them.
    audio : Path
        Folder that they are in.
    outside : bool
        They may lie outside of it.

    Raises
    ------
    AudioError
        If one cannot be read.
    AnnotationError
        If one is missing, or several fit, or it leaves the folder.
    """
    from softloc.audio import audio_duration_s, find_audio

    return {name: audio_duration_s(find_audio(audio, name, outside=outside)) for name in names}
