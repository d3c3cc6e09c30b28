"""Settings, note maps, lists of recordings and training states: read or refused in a sentence."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softloc.checkpoints import load_training_state, save_training_state
from softloc.errors import CheckpointError, SettingsError, printable
from softloc.note_maps import read_map
from softloc_cli.config import Option, resolve
from softloc_cli.inputs import find_listed

OPTIONS = {
    "model": Option("model", is_flag=False, is_multiple=False, default="drums"),
    "tempo": Option("tempo", is_flag=False, is_multiple=False, default=120.0),
    "only": Option("only", is_flag=False, is_multiple=True, default=None),
    "quiet": Option("quiet", is_flag=True, is_multiple=False, default=False),
}

#: Bytes of all kinds, and pieces that bring a parser further than those.
PIECES = st.sampled_from(
    ["model", "tempo", "quiet", "KD", "SD", "label", "note", "=", "[", "]", "{", "}", "\n", ",",
     ".", '"', "'''", "#", "36", "-1", "1e999", "nan", "inf", "true", "2000-01-01", "\ufeff",
     "transcribe", "[[transcribe]]", "[transcribe]\n", "0x7f", "1_000", "\r", "\t", " "]
)  # fmt: skip
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()),
)
TRIES = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def one_sentence(error: Exception) -> None:
    """TOML quotes what it cannot read, which the command line shows as escapes."""
    assert len(printable(str(error)).splitlines()) == 1


@TRIES
@given(CONTENTS)
def test_files_of_settings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    try:
        found = resolve({"transcribe": OPTIONS}, "transcribe", path, environment={})
    except SettingsError as error:
        one_sentence(error)
    else:
        assert found.keys() == OPTIONS.keys()
        assert isinstance(found["quiet"].value, bool)


@TRIES
@given(CONTENTS, st.sampled_from([".toml", ".csv"]))
def test_note_maps(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_bytes(content)
    try:
        notes = read_map(path)
    except SettingsError as error:
        one_sentence(error)
    else:
        assert notes
        assert all(0 <= note <= 127 for each in notes.values() for note in each)


@TRIES
@given(st.binary(max_size=300))
def test_lists_of_recordings(content: bytes) -> None:
    try:
        items = list(find_listed(io.BytesIO(content), recursive=False))
    except SettingsError as error:
        one_sentence(error)
    else:
        assert len(items) <= content.count(b"\n") + content.count(b"\0") + 1


@TRIES
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_damaged_training_states(tmp_path: Path, place: int, put: bytes, cut: bool) -> None:
    path = tmp_path / "a.state"
    save_training_state(path, {"step": 3, "network": {"w": torch.arange(40.0)}})
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : len(content) if cut else place + len(put)] = put
    path.write_bytes(content)
    try:
        state = load_training_state(path)
    except CheckpointError as error:
        one_sentence(error)
    else:
        assert isinstance(state, dict)
