"""Several models made into one whose members answer together.

Models of one shape that were trained apart, from other seeds or on other recordings, err apart:
the mean of their probabilities is right more often than each, at the price of computing all. What
the networks share, features, classes and the estimate of velocities, is kept once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from softloc.errors import SettingsError
from softloc.model_files import ModelFile, ModelSettings
from softloc.model_weights import member_parts

_FILTERBANK = "log_mel.filterbank"
_SHARED = ("log_mel.", "velocity.")


def join_models(models: Mapping[str, ModelFile]) -> ModelFile:
    """Make one model of several.

    Parameters
    ----------
    models : Mapping[str, ModelFile]
        By the name or path that messages shall call them, each as from
        `softloc.model_files.read_model`; those with several members give all of them.

    Returns
    -------
    ModelFile
        With the velocities of the first: they are heard in the features, not by the networks. Its
        record holds those of all, in order, under ``members``.

    Raises
    ------
    SettingsError
        If there are less than two, or they differ in features, shape, classes, softness or mass of
        an event.
    """
    if len(models) < 2:
        raise SettingsError("a model is joined with others: name two different ones at least")
    first, *others = models
    for name in others:
        _require_alike(models, first, name)
    weights = [part for model in models.values() for part in model.members]
    tensors = {
        name: tensor for name, tensor in models[first].tensors.items() if name.startswith(_SHARED)
    }
    for part, own in zip(member_parts(len(weights)), weights, strict=True):
        tensors |= {f"{part}.{name}": tensor for name, tensor in own.items()}
    return ModelFile(
        settings=replace(models[first].settings, n_members=len(weights)),
        tensors=tensors,
        record={"members": [dict(model.record) for model in models.values()]},
    )


def _require_alike(models: Mapping[str, ModelFile], first: str, other: str) -> None:
    """Refuse what cannot share one header."""
    ours, theirs = models[first], models[other]
    facts = _facts(ours.settings)
    for name, value in _facts(theirs.settings).items():
        if value != facts[name]:
            raise SettingsError(
                f"{other} cannot be joined with {first}: {name} is {value}, there {facts[name]}"
            )
    if not np.array_equal(ours.tensors[_FILTERBANK], theirs.tensors[_FILTERBANK]):
        raise SettingsError(f"{other} cannot be joined with {first}: their filterbanks differ")


def _facts(settings: ModelSettings) -> dict[str, Any]:
    """All that members must have in common, by dotted name."""
    facts = asdict(settings)
    del facts["n_members"]
    for part in ("features", "network"):
        facts |= {f"{part}.{name}": value for name, value in facts.pop(part).items()}
    return facts
