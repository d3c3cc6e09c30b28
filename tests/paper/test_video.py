"""Video segmentation: reader, network, losses, and runs on made-up videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.paper import video
from benchmarks.paper.ed_tcn import EdTcn
from benchmarks.paper.runs import missing
from benchmarks.paper.step_noise import StepNoise
from benchmarks.paper.video import LOSSES, SHIFTS_STEPS, Videos, loss_of, predict, shift_labels
from benchmarks.paper.video_data import SETS, Video, read_split
from softloc.errors import AnnotationError


def some_video(n_steps: int, seed: int = 0, name: str = "a") -> Video:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_steps, 6)).astype(np.float32)
    return Video(name, features, rng.integers(0, 4, size=n_steps))


# --- reader ----------------------------------------------------------------------------------


def arrays(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"train": ["one", "two"], "test": ["three"], "rate": 5}
    for index, name in enumerate(("one", "two", "three"), start=4):
        made[f"x/{name}"] = np.full((index, 128), index, dtype=np.float16)
        made[f"y/{name}"] = np.arange(index, dtype=np.uint8)
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def test_reader(tmp_path: Path) -> None:
    np.savez(tmp_path / "gtea_split2.npz", **arrays())
    split = read_split(tmp_path, "gtea", 2)
    assert [each.name for each in split.train] == ["one", "two"]
    (only,) = split.test
    assert only.classes.tolist() == [0, 1, 2, 3, 4, 5]
    assert only.features.shape == (6, 128)
    assert only.features.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y/two": np.arange(4)}, r"video two has features of shape \(5, 128\)"),
        ({"y/two": np.full(5, 11)}, "video two must have labels from 0 to 10"),
        ({"x/two": np.full((5, 128), np.nan)}, "video two has features that are no numbers"),
        ({"x/two": None}, "x/two"),
        ({"test": None}, "test"),
        ({"test": ["one"]}, "one is in the training and in the test list"),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "gtea_split1.npz", **arrays(**changes))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_split(tmp_path, "gtea", 1)
    assert "gtea_split1.npz" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_split(tmp_path, "gtea", 1)
    (tmp_path / "gtea_split1.npz").write_text("hello")
    with pytest.raises(AnnotationError, match="not a file of NumPy arrays"):
        read_split(tmp_path, "gtea", 1)


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_the_pack(data_root: Path, name: str) -> None:
    if not (data_root / "video").is_dir():
        pytest.skip("there is no video pack")
    split = read_split(data_root / "video", name, 1)
    videos = [*split.train, *split.test]
    assert len(videos) == {"50salads_mid": 50, "gtea": 28}[name]
    assert sum(len(each.classes) for each in videos) == {"50salads_mid": 9_966, "gtea": 5_972}[name]


# --- network ---------------------------------------------------------------------------------


def test_a_prediction_depends_on_nothing_but_its_own_video() -> None:
    torch.manual_seed(0)
    network = EdTcn(6, 4, length_steps=5).eval()
    videos = [some_video(n, seed) for seed, n in enumerate((23, 40, 9))]
    together = Videos.of(videos)
    with torch.no_grad():
        logits = network(together.features, together.mask)
        for row, each in zip(logits, videos, strict=True):
            alone = Videos.of([each])
            single = network(alone.features, alone.mask)[0]
            assert torch.allclose(row[:, : len(each.classes)], single, atol=1e-5)


def test_steps_reach_as_far_as_the_convolutions() -> None:
    """Two convolutions at full rate and two at half reach (1 + 2 + 2 + 1) · 2 steps and pooling."""
    torch.manual_seed(0)
    network = EdTcn(6, 4, length_steps=5).eval()
    videos = Videos.of([some_video(64)])
    changed = videos.features.clone()
    changed[0, :, 32] += 5.0
    with torch.no_grad():
        difference = network(changed, videos.mask) - network(videos.features, videos.mask)
    touched = difference[0].abs().sum(0).nonzero().squeeze(1)
    assert 8 <= 32 - touched.min() <= 16
    assert 8 <= touched.max() - 32 <= 16


def test_size_of_the_published_network() -> None:
    network = EdTcn(128, 18, length_steps=15)
    sizes = [(128, 64), (64, 96), (96, 96), (96, 64)]
    expected = sum(15 * a * b + b for a, b in sizes) + 64 * 18 + 18
    assert sum(p.numel() for p in network.parameters()) == expected


# --- labels and losses -----------------------------------------------------------------------


def test_labels_are_shifted_as_a_whole() -> None:
    original = Video("a", np.zeros((7, 1), np.float32), np.array([1, 1, 2, 2, 3, 3, 0]))
    noise = StepNoise("shift", 2.0, per_recording=True)
    shifted = {tuple(shift_labels(original, noise, seed).classes) for seed in range(20)}
    assert shifted == {(1, 1, 1, 1, 2, 2, 3), (2, 2, 3, 3, 0, 0, 0)}
    nothing = shift_labels(original, StepNoise("shift", 0.0, per_recording=True), 0)
    assert nothing.classes.tolist() == original.classes.tolist()


def literal(logits: torch.Tensor, videos: list[Video], softness: float, alpha: float) -> float:
    """Both terms video by video and class by class, without padding."""
    total = 0.0
    for row, each in zip(logits, videos, strict=True):
        n_steps = len(each.classes)
        p = row[:, :n_steps].softmax(0).double().numpy()
        lags = np.arange(-60, 61)
        kernel = np.exp(-0.5 * (lags / softness) ** 2)
        kernel /= kernel.sum()
        for label in range(len(p)):
            y = (each.classes == label).astype(float)
            smooth = np.convolve(p[label] - y, kernel)[60 : 60 + n_steps]
            where = np.sum(smooth**2) / np.sum(kernel**2)
            counts = np.ones(1)
            for chance in p[label]:
                counts = np.convolve(counts, [1 - chance, chance])
            total += (1 - alpha) * where - alpha * np.log(counts[int(y.sum())])
    return total / (len(videos) * logits.shape[1])


@pytest.mark.parametrize(("loss", "alpha"), [("sll", 0.0), ("softloc", 0.9)])
def test_losses_of_the_library_on_a_softmax(loss: str, alpha: float) -> None:
    torch.manual_seed(1)
    videos = [some_video(20, 1), some_video(13, 2)]
    logits = torch.randn(2, 4, 20)
    settings = {"loss": loss, "softness_steps": 2.5, "alpha": "drums"}
    ours = float(loss_of(logits, Videos.of(videos), settings, progress=1.0))
    assert ours == pytest.approx(literal(logits, videos, 2.5, alpha), rel=1e-4)


def test_cross_entropy_leaves_padding_out() -> None:
    torch.manual_seed(1)
    videos = [some_video(20, 1), some_video(13, 2)]
    logits = torch.randn(2, 4, 20)
    pieces = [
        functional.cross_entropy(row[:, : len(v.classes)].T, torch.from_numpy(v.classes))
        * len(v.classes)
        for row, v in zip(logits, videos, strict=True)
    ]
    ours = loss_of(logits, Videos.of(videos), {"loss": "cross-entropy"}, progress=0.0)
    assert float(ours) == pytest.approx(float(sum(pieces)) / 33, rel=1e-5)


def test_the_most_probable_class_is_predicted() -> None:
    class Echo(torch.nn.Module):
        def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return features

    features = np.eye(3, dtype=np.float32)[[0, 2, 2, 1]]
    assert predict(Echo(), Video("a", features, np.zeros(4, int))).tolist() == [0, 2, 2, 1]


# --- runs ------------------------------------------------------------------------------------


def test_all_cells_of_the_tables_are_run() -> None:
    runs = video.runs(quick=False)
    assert len(missing(runs, [])) == len(runs)
    cells = {
        (run.settings["set"], run.settings["split"], run.settings["loss"], shift, run.seed)
        for run in runs
        if (shift := run.settings["shift_steps"]) in SHIFTS_STEPS
        and run.settings.get("softness_steps", 4.2) == 4.2
    }
    assert len(cells) == 9 * len(LOSSES) * len(SHIFTS_STEPS) * video.N_SEEDS
    budgets = {(run.settings["set"], run.settings["steps"], run.settings["batch"]) for run in runs}
    assert len(budgets) == len(SETS)
    # The references come first.
    assert {run.settings["loss"] for run in runs[:9]} == {"cross-entropy"}
    assert {run.settings["shift_steps"] for run in runs[:9]} == {0}
