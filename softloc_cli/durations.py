"""Where the recordings of labels are, for commands that only need to know how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from softloc.errors import SettingsError
from softloc.events import Corpus, recording_stem


def durations_s(corpus: Corpus, names: Iterable[str], audio: Path) -> dict[str, float]:
    """Length of recordings of a corpus, seconds.

    Parameters
    ----------
    corpus : Corpus
        Their labels.
    names : iterable of str
        Which of its recordings.
    audio : Path
        Folder that they are in.

    Raises
    ------
    AudioError
        If one cannot be read.
    SettingsError
        If one is missing.
    """
    from softloc.audio import audio_duration_s

    return {name: audio_duration_s(_audio_of(name, corpus, audio)) for name in names}


def _audio_of(name: str, corpus: Corpus, audio: Path) -> Path:
    """Find the recording of labels: named by a table, else of the same stem."""
    from softloc.audio import AUDIO_SUFFIXES

    bare = PurePosixPath(name).parent / recording_stem(name)
    names = [name] if corpus.kind == "table" else [f"{bare}{suffix}" for suffix in AUDIO_SUFFIXES]
    found = next((audio / name for name in names if (audio / name).is_file()), None)
    if found is None:
        raise SettingsError(f"{audio} has no recording for {name} (looked for {', '.join(names)})")
    return found
