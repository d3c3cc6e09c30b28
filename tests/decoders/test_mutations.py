"""Files with bytes changed, cut or put in: sound or one sentence, never a crash."""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recordings import clicks, encode

from softloc.audio import read_audio
from softloc.decoders import inspect_container
from softloc.decoders.segments import Piece, SegmentedFile
from softloc.errors import AudioError

FORMS = [
    ("WAV", "PCM_16"),
    ("WAVEX", "FLOAT"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]


@cache
def recording(form: str, subtype: str) -> bytes:
    return encode(clicks((0.01,), duration_s=0.08), form, subtype)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Change bytes, most of them of the header; then perhaps cut."""
    damaged = bytearray(data)
    header = min(len(data), 256)
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(data) - 1)))
        content = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", bytes(4), b"\xff" * 4, b"OggS"]))
        damaged[place : place + len(content)] = content
    if draw(st.booleans()):
        damaged[header:header] = draw(st.binary(max_size=8))
    if draw(st.booleans()):
        del damaged[draw(st.integers(0, len(damaged))) :]
    return bytes(damaged)


@pytest.mark.parametrize(("form", "subtype"), FORMS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_never_a_crash(form: str, subtype: str, data: st.DataObject) -> None:
    damaged = data.draw(mutated(recording(form, subtype)))
    container = inspect_container(io.BytesIO(damaged))
    assert all("\n" not in sentence for sentence in (*container.warnings, *container.remarks))
    try:
        samples = read_audio(io.BytesIO(damaged), 44_100).samples
    except AudioError as error:
        sentences = str(error).splitlines()
    else:
        sentences = [""]
        assert samples.dtype == np.float32
        assert len(samples) > 0
        assert np.isfinite(samples).all()
    assert len(sentences) == 1


@given(
    st.binary(max_size=600), st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"])
)
@example(b"\x04\x00\x00\x7f\x7f\x7f\x7f", b"ID3")
def test_any_bytes_are_described(data: bytes, start: bytes) -> None:
    container = inspect_container(io.BytesIO(start + data))
    assert container.name
    assert 0 <= container.cut_samples <= container.shift_samples
    assert container.header_s is None or 0 <= container.header_s < math.inf


@given(
    content=st.binary(min_size=1, max_size=50),
    cuts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6),
    inserted=st.binary(max_size=10),
    reads=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 30)), max_size=8),
)
def test_pieces_read_like_their_sum(
    content: bytes, cuts: list[tuple[int, int]], inserted: bytes, reads: list[tuple[int, int]]
) -> None:
    spans = [(min(a, len(content)), min(b, len(content))) for a, b in cuts]
    pieces = [Piece(a, b) for a, b in spans if a <= b]
    pieces.insert(len(pieces) // 2, Piece.of(inserted))
    joined = b"".join(content[p.start : p.stop] if p.content is None else p.content for p in pieces)
    file = io.BufferedReader(SegmentedFile(io.BytesIO(content), pieces), 4)
    assert file.read() == joined
    assert file.seek(0, io.SEEK_END) == len(joined)
    for offset, size in reads:
        file.seek(offset)
        assert file.read(size) == joined[offset : offset + size]
