"""Windows, noise and descriptions of predictions in the paper's audio experiments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.paper import audio, drums, piano
from benchmarks.paper.audio import (
    AudioSettings,
    Material,
    Split,
    make_model,
    read_split,
    score_labels,
)
from benchmarks.paper.curves import seeded
from benchmarks.paper.idmt import read_idmt_split
from benchmarks.paper.piano import split_by_work
from benchmarks.paper.shapes import describe_predictions
from benchmarks.paper.synthetic import RATE_HZ, ensure_corpus
from benchmarks.paper.windows import FeatureStore, Labels, Windows
from softloc.audio import read_audio
from softloc.datasets import Classes
from softloc.engines import TorchEngine
from softloc.errors import AnnotationError
from softloc.events import Corpus, Onset
from softloc.features import FeatureSettings, LogMel, mel_filterbank
from softloc.inference import compute_probabilities
from softloc.model_files import ModelSettings
from softloc.network import ConvStage, NetworkSettings, OnsetNetwork

FEATURES = FeatureSettings(RATE_HZ, 160, 512, 512, n_bands=24, min_hz=30.0, max_hz=8000.0)
SHAPE = NetworkSettings(3, 24, (ConvStage(4), ConvStage(4)), lstm_units=4, dense_units=4)
CLASSES = Classes(("KD", "SD", "HH"))


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("hits")
    return read_split(ensure_corpus(folder, "hits", 2, 6.0, seed=3), CLASSES)


def labels_of(split: Split, softness_ms: float = 50.0) -> list[list[Labels]]:
    return [
        [
            Labels(
                np.array([onset.time_s for onset in onsets]),
                np.array([split.classes.index(onset.label) for onset in onsets]),
                softness_ms,
            )
        ]
        for onsets in split.corpus.recordings.values()
    ]


def test_stored_features_are_those_of_the_library(hits: Split, tmp_path: Path) -> None:
    store = FeatureStore(hits.paths, FEATURES, tmp_path)
    log_mel = LogMel(FEATURES, torch.from_numpy(mel_filterbank(FEATURES)))
    samples = read_audio(hits.paths[1], RATE_HZ).samples
    padded = np.pad(samples, (FEATURES.look_back_samples, 2000))
    with torch.no_grad():
        expected = log_mel(torch.from_numpy(padded).unsqueeze(0))[0]
    windows = Windows(store, labels_of(hits), 3, SHAPE, window_s=1.0)
    rows = store.read(1, 0, 100, 50)
    assert np.abs(rows - expected[100:150, 0].numpy()).max() < 0.005
    batch = windows.draw(4, np.random.default_rng(0))
    n_frames = SHAPE.look_back_frames + FEATURES.lead_in_frames + 100 + SHAPE.look_ahead_frames
    assert batch.features.shape == (4, n_frames, 2, 24)
    torch.testing.assert_close(
        batch.features[:, 1:, 1], batch.features[:, :, 0].diff(dim=1), atol=1e-6, rtol=0
    )


def test_features_are_computed_once(hits: Split, tmp_path: Path) -> None:
    first = FeatureStore(hits.paths, FEATURES, tmp_path, (1.0, 1.125))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = FeatureStore(hits.paths, FEATURES, tmp_path, (1.0, 1.125))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    assert np.array_equal(first.read(0, 1, 5, 9), again.read(0, 1, 5, 9))
    assert not first.read(0, 0, -20, 10).any()
    assert first.n_frames(0, 0) == 601
    assert first.n_frames(0, 1) == 534  # 180 samples from frame to frame


@pytest.mark.parametrize("speed", [1.0, 0.875])
def test_targets_lie_where_the_sound_begins(hits: Split, tmp_path: Path, speed: float) -> None:
    """The largest rise of the thump's bands is in its label's frame or next to it."""
    store = FeatureStore(hits.paths, FEATURES, tmp_path, (speed,))
    windows = Windows(store, labels_of(hits), 3, SHAPE, window_s=1.0)
    first = SHAPE.look_back_frames + FEATURES.lead_in_frames
    rises = []
    for seed in range(20):
        batch = windows.draw(2, np.random.default_rng(seed))
        for index in range(2):
            rise = batch.features[index, first : first + 100, 1, :3].sum(-1).numpy()
            frames = np.flatnonzero(batch.targets[index, 0].numpy())
            rises += [int(rise[f - 3 : f + 4].argmax()) - 3 for f in frames if 3 <= f < 96]
    assert len(rises) > 20
    assert abs(float(np.mean(rises))) < 1.0
    assert batch.softness_frames[0].tolist() == pytest.approx([5.0 / speed] * 3, rel=1e-3)


def test_labels_outside_a_window_are_told_and_not_counted(hits: Split, tmp_path: Path) -> None:
    labels = [[Labels(np.array([-0.2, 2.0]), np.array([0, 1]), 50.0)] for _ in range(2)]
    windows = Windows(FeatureStore(hits.paths, FEATURES, tmp_path), labels, 3, SHAPE, window_s=1.0)
    seen = 0.0
    for seed in range(10):
        batch = windows.draw(8, np.random.default_rng(seed))
        inside = (batch.points[:, 2] >= -0.5) & (batch.points[:, 2] < 99.5)
        assert batch.targets.sum() == inside.sum()
        assert (np.abs(batch.points[:, 2] - 50.0) <= 150.0).all()
        seen += float(batch.targets[:, 0].sum())
    assert seen > 0  # the margin before a recording sees the label that noise moved there


def test_noise_is_the_same_for_the_same_seed_and_keeps_what_leaves(hits: Split) -> None:
    noisy = hits.noisy(300.0, 1)
    assert noisy == hits.noisy(300.0, 1)
    assert noisy != hits.noisy(300.0, 2)
    assert hits.noisy(0.0, 1) == hits.corpus.recordings
    assert {n: len(r) for n, r in noisy.items()} == {
        n: len(r) for n, r in hits.corpus.recordings.items()
    }
    assert min(onset.time_s for rows in noisy.values() for onset in rows) < 0.0


def test_noisy_labels_score_as_the_normal_distribution_says(tmp_path: Path) -> None:
    """Labels 1 s apart: those within 50 ms are erf(50 / (σ √2))."""
    onsets = [Onset(float(second), "KD") for second in range(1, 4001)]
    split = Split(Corpus(tmp_path, "table", tmp_path, {"x.flac": onsets}), ("KD",))
    scores = score_labels(split, 50.0, 0, "as-written")
    assert scores["50ms"]["F1"] == pytest.approx(68.27, abs=2.0)
    assert score_labels(split, 0.0, 0, "as-written")["50ms"]["F1"] == 100.0


def test_settings_survive_json() -> None:
    settings = AudioSettings("x", 10, annotators=((1.0, 2.0), (3.0, 4.0)), softness_ms="inf")
    again = AudioSettings.of({**json.loads(json.dumps(settings.to_json())), "corpus": "other"})
    assert again == settings
    assert again.label_sets == ((1.0, 2.0), (3.0, 4.0))
    assert AudioSettings("x", 10, softness_ms="inf", noise_ms=7.0).label_sets == ((7.0, np.inf),)


def test_works_are_never_on_both_sides(hits: Split) -> None:
    names = [f"{index}.flac" for index in range(60)]
    split = Split(Corpus(Path(), "table", Path(), {name: [] for name in names}), ("60",))
    works = {name: f"work {index // 3}" for index, name in enumerate(names) if index != 7}
    train, valid = split_by_work(split, works)
    sides = [{works[name] for name in part.corpus.recordings} for part in (train, valid)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 20
    assert len(sides[1]) == 3
    assert "7.flac" not in {*train.corpus.recordings, *valid.corpus.recordings}  # the leak


def test_the_papers_network_computes_what_the_library_s_does() -> None:
    """Only strides are other ones: they make it quicker."""
    settings = AudioSettings("drums", 1)
    shape = drums.sizes()["drums"].network(3, bidirectional=False)
    plain, ours = (seeded(lambda: OnsetNetwork(shape), 0).eval() for _ in range(2))
    assert isinstance(ours, OnsetNetwork)
    audio._make_network(settings, ours)
    features = torch.randn(2, 40, 2, shape.n_bands, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(plain(features)[0], ours(features)[0], atol=1e-5)
    assert len(ours.convolutions) == len(plain.convolutions) + 1


def test_every_network_of_the_full_runs_can_be_built_and_transcribes() -> None:
    for experiment, labels in ((drums, ("KD", "SD", "HH")), (piano, tuple(map(str, range(88))))):
        split = Split(Corpus(Path(), "table", Path(), {}), labels)
        material = Material(split, split, {}, experiment.sizes())
        runs = [run for run in experiment.runs(quick=False) if run.settings["steps"]]
        everything = [AudioSettings.of(run.settings) for run in runs]
        shapes = {(s.size, s.cell, s.layers, s.bidirectional): s for s in everything}
        for settings in shapes.values():
            model = make_model(settings, material, 0)
            model.network.eval()
            for speed in drums.SPEEDS if experiment is drums else (1.0,):
                mel_filterbank(model.settings.features, speed)  # refuses bands without a bin
            rate = model.settings.features.sample_rate_hz
            samples = np.zeros(rate // 2, dtype=np.float32)
            engine = TorchEngine(model.log_mel, model.networks)
            rows = compute_probabilities(engine, [samples])
            n_frames = model.settings.features.grid.n_frames(len(samples))
            assert rows.shape == (len(labels), n_frames)
            assert rows[:, 5:-5].max() < 0.2  # it expects silence


def model_settings(event_mass: float = 1.0) -> ModelSettings:
    return ModelSettings(FEATURES, SHAPE, ("KD", "SD", "HH"), (36, 38, 42), 30.0, event_mass)


def test_predictions_are_described_by_mass_spread_and_sharpness() -> None:
    p = np.zeros((3, 400), dtype=np.float32)
    p[0, 100] = 0.9  # in one frame
    p[0, 200:202] = 0.5  # in two
    p[1, 100:109:4] = 0.3  # spread: three frames, 4 apart
    p[2, 300] = 0.2  # hardly there
    times = {"KD": (1.0, 2.0), "SD": (1.04,), "HH": (3.0, 1.0, 1.1)}
    references = {
        "x": sorted(
            (Onset(t, label) for label, row in times.items() for t in row), key=lambda o: o.time_s
        )
    }
    estimates = {"x": [Onset(1.012, "KD"), Onset(2.003, "KD"), Onset(1.5, "SD")]}
    found = describe_predictions({"x": p}, references, estimates, model_settings())
    assert found["events"] == 4  # the two hats that are 100 ms apart are not alone
    assert found["found"] == 3
    assert found["mass_mean"] == pytest.approx((0.9 + 1.0 + 0.9 + 0.2) / 4, abs=1e-3)
    assert found["sharp_share"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["spread_frames"] == pytest.approx((0.0 + 0.5 + np.sqrt(32 / 3)) / 3, abs=1e-3)
    assert found["mean_curve"][15] == pytest.approx((0.9 + 0.5 + 0.3 + 0.2) / 4, abs=1e-3)
    counts = found["error_counts"]
    assert (sum(counts), counts[30], counts[32]) == (2, 1, 1)  # 0 to 5 ms, 10 to 15 ms
    longer = describe_predictions({"x": 3 * p}, references, estimates, model_settings(3.0))
    assert longer["mass_mean"] == found["mass_mean"]


def test_idmt_is_read_in_its_form(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "annotation_xml").mkdir()
    xml = "".join(
        f"<event><pitch>{note}</pitch><onsetSec>{time_s}</onsetSec><offsetSec>{time_s}</offsetSec>"
        f"<instrument>{name}</instrument></event>"
        for time_s, note, name in ((0.5, 36, "KD"), (0.25, 42, "HH"), (0.75, 38, "SD"))
    )
    path = tmp_path / "annotation_xml" / "RealDrum01_00#MIX.xml"
    path.write_text(
        f"<instrumentRecording><transcription>{xml}</transcription></instrumentRecording>"
    )
    with pytest.raises(AnnotationError, match=r"RealDrum01_00#MIX.*is missing"):
        read_idmt_split(tmp_path, CLASSES)
    (tmp_path / "audio" / "RealDrum01_00#MIX.wav").touch()
    split = read_idmt_split(tmp_path, CLASSES)
    assert split.corpus.recordings == {
        "audio/RealDrum01_00#MIX.wav": [Onset(0.25, "HH"), Onset(0.5, "KD"), Onset(0.75, "SD")]
    }
    path.unlink()
    with pytest.raises(AnnotationError, match="no annotation"):
        read_idmt_split(tmp_path, CLASSES)
