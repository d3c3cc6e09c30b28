"""Several models made into one whose members answer together.

Models of one shape that were trained apart, from other seeds or on other recordings, err apart:
the mean of their probabilities is right more often than each, at the price of computing all. What
the networks share, features, classes and the estimate of velocities, is kept once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.errors import SettingsError
from softloc.model_files import ModelFile, ModelSettings
from softloc.model_weights import member_parts

_FILTERBANK = "log_mel.filterbank"

Array = NDArray[Any]


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
        With the velocities of the first that has any: they are heard in the features, not by the
        networks. Its record holds that of each network, in order, under ``members``.

    Raises
    ------
    SettingsError
        If there are less than two or too many, two hold the same network, or they differ in
        features, filterbank, shape, classes, notes, softness or mass of an event.
    """
    if len(models) < 2:
        raise SettingsError("a model is joined with others: name two different ones at least")
    first, *others = models
    for name in others:
        _require_alike(models, first, name)
    _refuse_twins(models)
    weights = [part for model in models.values() for part in model.members]
    velocities = (model.part("velocity") for model in models.values())
    tensors = {_FILTERBANK: models[first].tensors[_FILTERBANK]}
    heard: dict[str, Array] = next(filter(None, velocities), {})
    tensors |= {f"velocity.{name}": tensor for name, tensor in heard.items()}
    for part, own in zip(member_parts(len(weights)), weights, strict=True):
        tensors |= {f"{part}.{name}": tensor for name, tensor in own.items()}
    return ModelFile(
        settings=replace(models[first].settings, n_members=len(weights)),
        tensors=tensors,
        record={"members": [record for model in models.values() for record in _records(model)]},
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


def _refuse_twins(models: Mapping[str, ModelFile]) -> None:
    """Refuse networks that are there twice: they cost twice and say the same."""
    seen: dict[bytes, str] = {}
    for name, model in models.items():
        for member in model.members:
            digest = hashlib.sha256()
            for key in sorted(member):
                digest.update(key.encode() + member[key].tobytes())
            twin = seen.setdefault(digest.digest(), name)
            if twin != name:
                raise SettingsError(f"{name} holds the same network as {twin}")


def _records(model: ModelFile) -> list[dict[str, Any]]:
    """Record of each network of a model."""
    records = model.record.get("members")
    return list(records) if isinstance(records, list) else [dict(model.record)]


def _facts(settings: ModelSettings) -> dict[str, Any]:
    """All that members must have in common, by dotted name."""
    facts = asdict(settings)
    del facts["n_members"]
    for part in ("features", "network"):
        facts |= {f"{part}.{name}": value for name, value in facts.pop(part).items()}
    return facts
