"""Videos as features and one class per step: the reader of 50 Salads and GTEA.

A file ``<set>_split<n>.npz`` holds all videos of a set, with the features of one split (their
network was trained on the training videos of that split: features of several splits must never be
mixed): ``x/<video>`` (steps, features), ``y/<video>`` (steps,) with 0 = background, and the names
in ``train`` and ``test``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softloc.errors import AnnotationError

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class VideoSet:
    """What is known of a set of videos.

    Attributes
    ----------
    title : str
        For people.
    n_splits : int
    n_classes : int
        With background.
    length_steps : int
        Of the convolutions of the ED-TCN whose predictions Lea et al. released.
    step_s : float
        Seconds a step. Known for 50 Salads; for GTEA assumed to be the same, which makes shifts
        and softness equal in steps.
    reference : Mapping
        F1 in per cent of the released predictions over `reference_splits`, by overlap in per cent.
    reference_splits : tuple of int
    """

    title: str
    n_splits: int
    n_classes: int
    length_steps: int
    step_s: float
    reference: Mapping[int, float]
    reference_splits: tuple[int, ...]


SETS = {
    "50salads_mid": VideoSet(
        "50 Salads, mid", 5, 18, 15, 5 / 3, {10: 68.0, 50: 52.6}, (1, 2, 3, 4, 5)
    ),
    "gtea": VideoSet("GTEA", 4, 11, 25, 5 / 3, {10: 73.2, 50: 55.6}, (1, 2, 3)),
}


@dataclass(frozen=True)
class Video:
    """One video.

    Attributes
    ----------
    name : str
    features : ndarray of float32, shape (n_steps, n_features)
    classes : ndarray of int, shape (n_steps,)
    """

    name: str
    features: Floats
    classes: Classes


@dataclass(frozen=True)
class Split:
    """Videos to train on and to test on."""

    train: Sequence[Video]
    test: Sequence[Video]


def read_split(folder: Path, name: str, split: int) -> Split:
    """Read one split of a set.

    Parameters
    ----------
    folder : Path
        Holds the files.
    name : str
        One of `SETS`.
    split : int
        From 1.

    Raises
    ------
    AnnotationError
        If the file is missing or damaged, or does not hold what it should; names the video.
    """
    path = folder / f"{name}_split{split}.npz"
    try:
        with np.load(path) as arrays:
            parts = {
                part: [
                    Video(
                        str(video),
                        arrays[f"x/{video}"].astype(np.float32),
                        arrays[f"y/{video}"].astype(np.int64),
                    )
                    for video in arrays[part]
                ]
                for part in ("train", "test")
            }
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file; is the folder right?") from error
    except KeyError as error:
        raise AnnotationError(f"{path}: {error.args[0]}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise AnnotationError(f"{path}: not a file of NumPy arrays ({error})") from error
    for video in [*parts["train"], *parts["test"]]:
        _check(path, video, SETS[name].n_classes)
    both = {video.name for video in parts["train"]} & {video.name for video in parts["test"]}
    if both:
        raise AnnotationError(f"{path}: {min(both)} is in the training and in the test list")
    return Split(parts["train"], parts["test"])


def _check(path: Path, video: Video, n_classes: int) -> None:
    if video.features.ndim != 2 or video.features.shape[:1] != video.classes.shape:
        raise AnnotationError(
            f"{path}: video {video.name} has features of shape {video.features.shape}, "
            f"but labels of shape {video.classes.shape}"
        )
    if not np.isfinite(video.features).all():
        raise AnnotationError(f"{path}: video {video.name} has features that are no numbers")
    if not (video.classes.size and 0 <= video.classes.min() <= video.classes.max() < n_classes):
        raise AnnotationError(
            f"{path}: video {video.name} must have labels from 0 to {n_classes - 1}"
        )
