"""Where the recordings of labels are, for commands that only need to know how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def durations_s(names: Iterable[str], audio: Path) -> dict[str, float]:
    """Length of recordings, seconds.

    Parameters
    ----------
    names : iterable of str
        Recordings as a corpus of labels names them.
    audio : Path
        Folder that they are in.

    Raises
    ------
    AudioError
        If one cannot be read.
    AnnotationError
        If one is missing, or several fit.
    """
    from softloc.audio import audio_duration_s, find_audio

    return {name: audio_duration_s(find_audio(audio, name)) for name in names}
