"""Numbers at their limits: signals, labels, settings; everything stays finite and sane."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click_model import make_click_model
from clicks import bursts
from hypothesis import given, settings
from hypothesis import strategies as st

from softloc.audio import read_audio
from softloc.batches import label_targets
from softloc.datasets import LabelSequence, Recording
from softloc.decoding import decode_onsets
from softloc.errors import AudioError
from softloc.evaluation import evaluate
from softloc.events import MAX_TIME_S, Corpus, Onset
from softloc.features import FeatureSettings
from softloc.formats import WRITABLE, Provenance, read_onsets, write_onsets
from softloc.losses import LOSS_NAMES, LossSettings, make_loss
from softloc.perturb import Noise, PerturbSettings, perturb
from softloc.pipeline import Transcriber, from_checkpoint
from softloc.timebase import FrameGrid

RATE_HZ = 44_100
TIMES_S = [0.3, 0.9, 1.5]

EXTREME = st.one_of(
    st.sampled_from([0.0, 1e-45, 1e-38, -1e-38]),
    st.sampled_from([80.0, 1e4, 1e5, 1e8, 1e30]).flatmap(
        lambda size: st.sampled_from((size, -size))
    ),
    st.floats(-20.0, 20.0, width=32),
)


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return from_checkpoint(make_click_model())


@pytest.fixture(scope="module")
def reference_s(transcriber: Transcriber) -> list[float]:
    return [onset.time_s for onset in transcriber.transcribe(bursts(TIMES_S), RATE_HZ)]


@pytest.mark.parametrize("name", LOSS_NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_loss_and_gradients_are_finite(name: str, data: st.DataObject) -> None:
    """From one frame on, with every count that fits, for all logits and all softnesses."""
    n_frames = data.draw(st.integers(1, 12))
    row = st.lists(EXTREME, min_size=n_frames, max_size=n_frames)
    logits = torch.tensor([[data.draw(row), data.draw(row)]], requires_grad=True)
    count = data.draw(st.integers(0, n_frames))
    targets = torch.zeros(1, 2, n_frames)
    targets[0, 0, data.draw(st.integers(0, n_frames - 1))] = count
    softness = data.draw(
        st.sampled_from([0.0, 1e-40, 0.3, 5.0, 1e6, 1e19, 1e30, math.inf]), "softness"
    )
    loss = make_loss(LossSettings(name=name), 100.0)(
        logits, targets, torch.tensor([[softness]]), data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        torch.ones(1, 1, n_frames, dtype=torch.bool),
    )  # fmt: skip
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("n_frames", [1, 2, 50])
def test_more_labels_than_frames_can_hold_still_make_a_loss(n_frames: int) -> None:
    """A million taps in one place are a damaged file, not a reason to stop a training."""
    features = FeatureSettings()
    n_labels = 1_000_000
    sequence = LabelSequence(
        "",
        times_s=np.zeros(n_labels),
        classes=np.zeros(n_labels, dtype=np.int64),
        softness_ms=np.full(n_labels, math.inf),
    )
    recording = Recording("a.wav", Path("a.wav"), n_frames * features.grid.hop_s, (sequence,))
    targets, softness_frames = label_targets(recording, 2, n_frames, features)
    logits = torch.zeros(1, 2, n_frames, requires_grad=True)
    loss = make_loss(LossSettings(), 100.0)(logits, targets[None], softness_frames[None], 0.5)
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


SIGNALS = {
    "silence": np.zeros(RATE_HZ),
    "one sample": np.zeros(1),
    "one loud sample": np.ones(1),
    "two samples": np.array([1.0, -1.0]),
    "denormal": np.full(RATE_HZ, 1e-40),
    "direct current": np.ones(RATE_HZ),
    "direct current beyond full scale": np.full(RATE_HZ, 1e5),
    "full-scale square": np.sign(np.sin(np.arange(RATE_HZ) * 2 * np.pi * 50 / RATE_HZ) + 1e-9),
    "square at half the sample rate": np.tile([1.0, -1.0], RATE_HZ // 2),
    "largest sound": np.tile([1e6, -1e6], RATE_HZ // 2),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_any_signal_gives_sane_events(name: str, transcriber: Transcriber) -> None:
    signal = SIGNALS[name]
    onsets = transcriber.transcribe(signal, RATE_HZ)
    for onset in onsets:
        assert 0.0 <= onset.time_s <= len(signal) / RATE_HZ
        assert 0.0 <= (onset.confidence or 0.0) <= 1.0
    if name in ("silence", "one sample", "denormal"):
        assert onsets == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e7, 3e38])
def test_what_is_no_sound_is_refused_with_its_place(value: float, transcriber: Transcriber) -> None:
    signal = np.zeros(RATE_HZ)
    signal[22_050] = value
    with pytest.raises(AudioError, match=r"sample 22050 is .*, no sound, at 0.500 s"):
        transcriber.transcribe(signal, RATE_HZ)


@pytest.mark.parametrize("offset", [0.5, -1.0, 10.0])
def test_direct_current_moves_no_event(
    offset: float, transcriber: Transcriber, reference_s: list[float]
) -> None:
    """The start and the end of the current are edges; what is between them is heard as before."""
    samples = bursts(TIMES_S) + offset
    found = [o.time_s for o in transcriber.transcribe(samples, RATE_HZ) if 0.1 < o.time_s < 1.9]
    assert found == pytest.approx(reference_s, abs=0.003)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_depth_gives_the_same_events(
    subtype: str, transcriber: Transcriber, reference_s: list[float]
) -> None:
    file = io.BytesIO()
    soundfile.write(file, bursts(TIMES_S), RATE_HZ, format="WAV", subtype=subtype)
    file.seek(0)
    found = [onset.time_s for onset in transcriber.transcribe(file)]
    assert found == pytest.approx(reference_s, abs=0.003)


def test_float_beyond_full_scale_is_heard_as_it_is(transcriber: Transcriber) -> None:
    """A file is not clipped on the way: the same events as from the array."""
    loud = (4.0 * bursts(TIMES_S)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, loud, RATE_HZ, format="WAV", subtype="FLOAT")
    file.seek(0)
    assert np.abs(loud).max() > 2.0
    assert transcriber.transcribe(file) == transcriber.transcribe(loud, RATE_HZ)


@pytest.mark.parametrize("rate_hz", [8_000, 176_400, 352_800, 749_700])
def test_sample_rates(rate_hz: int, transcriber: Transcriber) -> None:
    file = io.BytesIO()
    slow = bursts(TIMES_S, rate_hz=min(rate_hz, RATE_HZ))
    repeats = max(1, rate_hz // RATE_HZ)
    soundfile.write(file, np.repeat(slow, repeats), min(rate_hz, RATE_HZ * repeats), format="WAV")
    file.seek(0)
    found = {round(onset.time_s, 2) for onset in transcriber.transcribe(file)}
    for time_s in TIMES_S:
        assert min(abs(time_s - each) for each in found) < 0.012


@pytest.mark.parametrize("rate_hz", [0, 1, 999, 768_001, 0xFFFFFFFF])
def test_rates_that_cannot_be_are_refused(rate_hz: int) -> None:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, (2 * rate_hz) & 0xFFFFFFFF, 2, 16)
    wav = b"RIFF\x00\x02\0\0WAVEfmt " + form + b"data" + struct.pack("<I", 400) + bytes(400)
    with pytest.raises(AudioError) as caught:
        read_audio(io.BytesIO(wav), RATE_HZ)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("softness_ms", [0.0, 1e-300, 50.0, 1e4, 1e6, 2.0**64, 1e308, math.inf])
@pytest.mark.parametrize("n_frames", [1, 2, 400])
def test_decoding_ends_for_every_softness(softness_ms: float, n_frames: int) -> None:
    probabilities = np.zeros((1, n_frames), dtype=np.float32)
    probabilities[0, n_frames // 2] = 1.0
    onsets = decode_onsets(probabilities, ("KD",), FrameGrid(RATE_HZ, 441), softness_ms=softness_ms)
    assert [onset.time_s for onset in onsets] == [pytest.approx(n_frames // 2 / 100)]


@pytest.mark.parametrize("probability", [0.0, 1e-45, 1e-30, 0.25, 1.0])
def test_decoding_ends_for_a_constant(probability: float) -> None:
    probabilities = np.full((1, 300), probability, dtype=np.float32)
    onsets = decode_onsets(probabilities, ("KD",), FrameGrid(RATE_HZ, 441), softness_ms=30.0)
    # Where there is an event in every frame, crowds share runs and lose some of them.
    assert len(onsets) == pytest.approx(300 * probability, rel=0.01, abs=1.0)


def test_labels_by_the_ten_thousands_are_read_written_and_scored(tmp_path: Path) -> None:
    """Three million are read and scored by ``python -m benchmarks.evaluation``."""
    rng = np.random.default_rng(0)
    times_s = np.sort(rng.uniform(0.0, 8_000.0, 20_000)).round(6)
    onsets = [Onset(time_s, "KD") for time_s in times_s.tolist()]
    path = tmp_path / "a.tsv"
    write_onsets(path, onsets)
    assert read_onsets(path) == onsets
    scores = evaluate({"a": onsets}, {"a": onsets})
    assert scores.class_means[0.05].f_measure == 1.0


@pytest.mark.parametrize("form", WRITABLE)
@pytest.mark.parametrize("time_s", [0.0, 5e-324, 1e-7, 86_400.0, 1e9])
def test_odd_times_are_kept_or_refused(form: str, time_s: float, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    if form == "midi" and time_s > 1e8:
        return  # refused, which tests of MIDI say
    write_onsets(
        path, [Onset(time_s, "KD")], format=form, provenance=Provenance(sample_rate_hz=RATE_HZ)
    )
    (found,) = read_onsets(path, format=form)
    assert found.time_s == pytest.approx(time_s, abs=6e-4 if form == "midi" else 3e-5)


@pytest.mark.parametrize("noise", ["normal", "uniform", "shift", "skew", "laplace"])
def test_perturbing_the_latest_times_stays_finite(noise: str) -> None:
    onsets = [Onset(0.9 * MAX_TIME_S, "KD"), Onset(0.0, "SD")]
    corpus = Corpus(Path("a.csv"), "table", Path(), {"a": onsets})
    perturbed, _ = perturb(corpus, PerturbSettings(noise=Noise(noise, 1e6), seed=1))
    assert all(math.isfinite(onset.time_s) for onset in perturbed.recordings["a"])
