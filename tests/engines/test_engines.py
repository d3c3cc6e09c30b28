"""Both engines give the same answers, and the light one starts without PyTorch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click_model import make_click_model
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import softloc
from softloc.checkpoints import Checkpoint, save_checkpoint, tensors_of
from softloc.engines import Engine, TorchEngine, choose_engine
from softloc.errors import AudioError, CheckpointError, SettingsError
from softloc.features import (
    FeatureSettings,
    LogMel,
    NumpyLogMel,
    band_levels,
    compress_magnitudes,
    magnitude_levels,
    mel_filterbank,
)
from softloc.inference import compute_frames, compute_logits
from softloc.model_files import ModelFile, ModelSettings, default_notes, pretrained_index
from softloc.network import NetworkSettings, OnsetNetwork
from softloc.presets import SIZES
from softloc.streaming import FrameReader
from softloc.velocity import VelocityReadOut

onnx_engine = pytest.importorskip(
    "softloc.engines.onnx_engine", reason="ONNX Runtime is not installed"
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "groove.flac"
#: Both compute in single precision: so much of an event's time or mass is noise.
SAME_S, SAME_MASS = 1e-4, 1e-3


def make_model(features: FeatureSettings, shape: NetworkSettings) -> Checkpoint:
    """Random weights, with statistics that are not those of a fresh network."""
    torch.manual_seed(1)
    network = OnsetNetwork(shape)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 2.0)
            for tensor in (module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.normal_(0.0, 0.3)
    network.set_feature_statistics(torch.rand(2, shape.n_bands), 0.5 + torch.rand(2, shape.n_bands))
    log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features)))
    classes = ("KD", "SD")
    model = ModelSettings(features, shape, classes, default_notes(classes), softness_ms=30.0)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, shape.n_bands)).astype(np.float32)
    velocity = VelocityReadOut(weight, np.full(2, 64.0, np.float32), np.ones(2, np.bool_))
    return Checkpoint(model, log_mel, network.eval(), velocity=velocity)


def file_of(model: Checkpoint) -> ModelFile:
    return ModelFile(model.settings, tensors_of(model))


def both_engines(model: Checkpoint) -> tuple[Engine, Engine]:
    weight = None if model.velocity is None else model.velocity.weight
    engine = onnx_engine.OnnxEngine(file_of(model))
    return TorchEngine(model.log_mel, model.networks, weight), engine


VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "both ways": {"bidirectional": True, "lstm_delay_frames": 0},
    "no delay": {"lstm_delay_frames": 0},
    "no normalisation": {"batch_norm": False},
    "only the LSTM": {"dense_sees_convolutions": False},
    "sigmoid": {"sigmoid_dense": True},
    "derivative beside": {"derivative_beside_bands": True},
}


@pytest.mark.parametrize(
    ("size", "variant"), [*(("small", name) for name in VARIANTS), ("paper", "as it is")]
)
def test_any_network_gives_the_same_logits(
    size: str, variant: str, rng: np.random.Generator
) -> None:
    preset = SIZES[size]
    shape = dataclasses.replace(preset.network(2), **VARIANTS[variant])
    samples = rng.normal(0, 0.1, size=40_000).astype(np.float32)
    engines = both_engines(make_model(preset.features, shape))
    expected, found = (compute_frames(engine, [samples], chunk_frames=37) for engine in engines)
    assert expected.probabilities.std() > 1e-3
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.heard, expected.heard, atol=2e-3)


def test_any_cut_gives_the_same_logits(rng: np.random.Generator) -> None:
    size = SIZES["small"]
    _, engine = both_engines(make_model(size.features, size.network(2)))
    samples = rng.normal(0, 0.1, size=60_000).astype(np.float32)
    whole = compute_logits(engine, [samples])
    for block, chunk_frames in ((7_001, 50), (60_000, 1), (441, 23)):
        pieces = (samples[i : i + block] for i in range(0, len(samples), block))
        np.testing.assert_allclose(compute_logits(engine, pieces, chunk_frames), whole, atol=1e-4)


def test_the_answer_does_not_depend_on_the_number_of_threads(rng: np.random.Generator) -> None:
    size = SIZES["large"]
    file = file_of(make_model(size.features, size.network(2)))
    samples = rng.normal(0, 0.1, size=60_000).astype(np.float32)
    alone, *several = (
        compute_logits(onnx_engine.OnnxEngine(file, n_threads), [samples], 50)
        for n_threads in (1, 2, 3)
    )
    for logits in several:
        np.testing.assert_allclose(logits, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "variable", "expected"),
    [
        (None, None, 1),
        (None, "3", 3),
        (None, "2,4", 2),
        (None, "0", 1),
        (None, "many", 1),
        (2, "3", 2),
        (1, None, 1),
    ],
)
def test_one_thread_computes_unless_more_are_asked_for(
    asked: int | None, variable: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    opened = []

    def session(_graph: bytes, options: Any, **_: Any) -> None:
        opened.append(options.intra_op_num_threads)

    monkeypatch.setattr(onnx_engine.onnxruntime, "InferenceSession", session)
    onnx_engine.OnnxEngine(file_of(make_click_model()), asked)
    assert opened == [expected, expected]


def events_by_class(onsets: Sequence[softloc.Onset]) -> list[softloc.Onset]:
    return sorted(onsets, key=lambda onset: (onset.label, onset.time_s))


def assert_same_events(found: Sequence[softloc.Onset], expected: Sequence[softloc.Onset]) -> None:
    pairs = zip(events_by_class(found), events_by_class(expected), strict=True)
    for ours, theirs in pairs:
        assert ours.label == theirs.label
        assert abs(ours.time_s - theirs.time_s) <= SAME_S
        assert ours.confidence == pytest.approx(theirs.confidence, abs=SAME_MASS)
        assert abs((ours.velocity or 0) - (theirs.velocity or 0)) <= 1
        assert (ours.velocity is None) == (theirs.velocity is None)


@pytest.mark.parametrize("model", pretrained_index())
def test_shipped_models_give_the_same_events(model: str) -> None:
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="float32")
    samples = samples[: 12 * rate_hz]
    expected = softloc.load(model, "cpu", "torch").transcribe(samples, rate_hz)
    found = softloc.load(model, "cpu", "onnx").transcribe(samples, rate_hz)
    assert len(expected) > 20
    assert_same_events(found, expected)


def test_no_frame_is_transformed_or_remembered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of four frames at a time costs what its frames cost, not what they depend on."""
    size = SIZES["small"]
    shape = size.network(2)
    engine = onnx_engine.OnnxEngine(file_of(make_model(size.features, shape)))
    counts = {"transformed": 0, "remembered": 0}
    (member,) = engine.members
    transform, remember = engine._log_mel._transform, member.remember

    def counting_transform(frames: np.ndarray, out: np.ndarray) -> None:
        counts["transformed"] += len(frames)
        transform(frames, out)

    def counting_remember(values: np.ndarray, *rest: Any) -> Any:
        counts["remembered"] += len(values)
        return remember(values, *rest)

    monkeypatch.setattr(engine._log_mel, "_transform", counting_transform)
    monkeypatch.setattr(member, "remember", counting_remember)
    reader = FrameReader(engine, step_frames=4)
    for _ in range(100):
        reader.push(np.zeros(4 * size.features.hop_samples, np.float32))
    n_frames = 400 + size.features.lead_in_frames + shape.look_back_frames
    assert 390 < counts["remembered"] < n_frames
    assert counts["remembered"] < counts["transformed"] < n_frames


@pytest.mark.data
def test_real_recordings_give_the_same_events(data_root: Path) -> None:
    engines = [softloc.load("drums", "cpu", name) for name in ("torch", "onnx")]
    for path in sorted((data_root / "drums-dev" / "mix").glob("*.flac")):
        expected, found = (engine.transcribe(path) for engine in engines)
        assert len(expected) > 50
        assert_same_events(found, expected)


@settings(max_examples=20)
@given(
    size=st.sampled_from(sorted(SIZES)),
    level_db=st.floats(-120.0, 0.0),
    n_frames=st.integers(1, 90),
    seed=st.integers(0, 100),
)
def test_features_are_those_of_torch(size: str, level_db: float, n_frames: int, seed: int) -> None:
    chosen = SIZES[size].features
    filterbank = mel_filterbank(chosen)
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=chosen.n_samples_for(n_frames)) * 10 ** (level_db / 20)
    samples = samples.astype(np.float32)
    reference = LogMel(chosen, torch.from_numpy(filterbank)).double()
    expected = reference(torch.from_numpy(samples).double().unsqueeze(0))[0]
    magnitudes = NumpyLogMel(chosen, filterbank).band_magnitudes(samples)
    np.testing.assert_allclose(compress_magnitudes(magnitudes), expected, atol=3e-6)
    levels = band_levels(expected[:, 0]).numpy()
    np.testing.assert_allclose(magnitude_levels(magnitudes[1:]), levels, atol=1e-3)


def test_silence_is_exactly_nothing() -> None:
    chosen = SIZES["large"].features
    silence = np.zeros(chosen.n_samples_for(5), np.float32)
    magnitudes = NumpyLogMel(chosen, mel_filterbank(chosen)).band_magnitudes(silence)
    assert not compress_magnitudes(magnitudes).any()


def test_an_answer_that_is_not_finite_is_refused() -> None:
    size = SIZES["small"]
    for engine in both_engines(make_model(size.features, size.network(2))):
        with pytest.raises(AudioError, match="not finite"):
            compute_logits(engine, [np.full(4410, np.nan, dtype=np.float32)])


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("network.output.bias", lambda a: a[:1], r"network\.output\.bias is of shape \(1,\)"),
        ("network.lstm.weight_hh_l0", None, r"network\.lstm\.weight_hh_l0 is missing"),
        ("log_mel.filterbank", np.transpose, r"log_mel\.filterbank is of shape \(32, 1025\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, change: Any, sentence: str
) -> None:
    model = make_click_model()
    tensors = tensors_of(model)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, model)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=rf"a\.safetensors: .* damaged \({sentence}"):
        softloc.load(path, engine="onnx")


def test_the_choice_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine("auto", "auto") == choose_engine("auto", "cpu") == "onnx"
    assert choose_engine("auto", "cuda:1") == choose_engine("torch", "auto") == "torch"
    with pytest.raises(SettingsError, match="did you mean 'onnx'"):
        choose_engine("onn", "auto")
    with pytest.raises(SettingsError, match="on the processor, not on cuda"):
        choose_engine("onnx", "cuda")
    monkeypatch.setattr("softloc.engines.choice.find_spec", lambda _: None)
    assert choose_engine("auto", "auto") == "torch"
    with pytest.raises(SettingsError, match="pip install onnxruntime"):
        choose_engine("onnx", "cpu")


def test_onnx_runtime_that_cannot_be_loaded_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on systems without the libraries that it was built against."""
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, make_click_model())
    monkeypatch.setitem(sys.modules, "softloc.engines.onnx_engine", None)
    assert isinstance(softloc.load(path).engine, TorchEngine)
    assert "PyTorch computes instead" in caplog.text
    with pytest.raises(SettingsError, match="ONNX Runtime cannot be loaded"):
        softloc.load(path, engine="onnx")


HEAVY = ("torch", "scipy", "librosa", "matplotlib", "numba", "pandas", "mir_eval", "pretty_midi",
         "joblib", "jinja2", "onnx")  # fmt: skip


def test_transcribing_imports_nothing_heavy(tmp_path: Path) -> None:
    """The command from its start to a MIDI file and a table, with the engine that is chosen."""
    model = tmp_path / "clicks.safetensors"
    save_checkpoint(model, make_click_model())
    samples = np.zeros(30_000, np.float32)
    samples[10_000:10_400] = np.random.default_rng(0).normal(0, 0.3, 400)
    soundfile.write(tmp_path / "a.wav", samples, 48_000)
    arguments = ["transcribe", str(tmp_path / "a.wav"), "-m", str(model), "-f", "midi,csv"]
    code = (
        "import sys\n"
        "from softloc_cli.app import main\n"
        f"sys.argv = ['softloc', *{arguments!r}, '-o', {str(tmp_path)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
    assert (tmp_path / "a.mid").read_bytes().startswith(b"MThd")
    assert "KD" in (tmp_path / "a.csv").read_text()
