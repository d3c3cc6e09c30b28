"""``softloc models``: which there are, what is in them, whether they are whole; joining them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softloc.errors import SettingsError, SoftLocError, escaped
from softloc.files import to_json
from softloc_cli.console import EXIT_CODES_HELP, ExitCode, report, user_errors

if TYPE_CHECKING:
    from softloc.checkpoints import Checkpoint

models = typer.Typer(
    help="List, show, verify and join models.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models.command("list", epilog=EXIT_CODES_HELP)
def list_models(*, as_json: _AsJson = False) -> None:
    """Print the shipped models, one a line: name, format version, SHA-256."""
    with user_errors():
        from softloc.model_files import pretrained_index

        index = pretrained_index()
        if as_json:
            typer.echo(json.dumps(index, indent=2))
            return
        for name, entry in index.items():
            typer.echo(f"{name}\t{entry['format']}\t{entry['sha256']}")


@models.command(epilog=EXIT_CODES_HELP)
def show(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Shipped or own model.")],
    *,
    card: Annotated[
        bool, typer.Option("--card", help="Print the card of a shipped model instead.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Print what a model is: classes, settings, and the record of its training."""
    with user_errors():
        from softloc.checkpoints import load_checkpoint

        if card:
            typer.echo(_card(model), nl=False)
            return
        checkpoint = load_checkpoint(model)
        facts = {**_file_facts(model), **_model_facts(checkpoint)}
        if as_json:
            typer.echo(to_json(facts, indent=2))
            return
        for name, value in _flatten(facts):
            typer.echo(f"{name}\t{value}")


@models.command(epilog=EXIT_CODES_HELP)
def verify(
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|PATH...", help="Shipped or own models; default: all shipped."),
    ] = None,
    *,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="SHA-256 that the one model must have.")
    ] = None,
) -> None:
    """Check that models are whole: hash, format, settings, and weights that are finite.

    A shipped model must have the hash of the index.
    """
    with user_errors():
        from softloc.checkpoints import load_checkpoint
        from softloc.model_files import pretrained_index

        names = list(which or pretrained_index())
        if sha256 is not None and len(names) != 1:
            raise SettingsError("--sha256 is the hash of one model: name one")
        n_failed = 0
        for name in names:
            try:
                found = _file_facts(name)["sha256"]
                load_checkpoint(name)
            except SoftLocError as error:
                n_failed += 1
                report(f"error: {error}")
                continue
            if sha256 is not None and found != sha256.strip().lower():
                n_failed += 1
                report(f"error: {name}: SHA-256 is {found}, not {sha256}")
            else:
                typer.echo(f"{name}\tok\t{found}")
        if n_failed:
            raise typer.Exit(ExitCode.FAILED if n_failed == len(names) else ExitCode.PARTIAL)


@models.command(epilog=EXIT_CODES_HELP)
def join(
    which: Annotated[
        list[str], typer.Argument(metavar="NAME|PATH...", help="Two models or more, of one shape.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="Model file to write.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model.")] = False,
) -> None:
    """Make one model of several that were trained apart: all are asked, and the mean counts.

    Train the same with another seed (`softloc train --seed`) or on more recordings, join them, and
    see with `softloc evaluate` what it gains, for it is as much slower as there are networks.
    Velocities are those of the first that has any.
    """
    with user_errors():
        from softloc.joining import join_models
        from softloc.model_files import MODEL_SUFFIX, read_model, write_model

        if output.suffix != MODEL_SUFFIX:
            raise SettingsError(f"-o {output}: a model file ends in {MODEL_SUFFIX}")
        if output.exists() and not overwrite:
            raise SettingsError(f"{output} exists already; give --overwrite to replace it")
        twice = next((name for name in which if which.count(name) > 1), None)
        if twice is not None:
            raise SettingsError(f"{twice} is named twice")
        joined = join_models({name: read_model(name) for name in which})
        write_model(output, joined)
        report(f"{output}: {joined.settings.n_members} members")


def _card(model: str) -> str:
    from softloc.model_files import pretrained_card, pretrained_index

    text = pretrained_card(model) if model in pretrained_index() else None
    if text is None:
        raise SettingsError(f"{model}: only shipped models have a card")
    return text


def _file_facts(model: str) -> dict[str, Any]:
    from softloc.files import file_sha256
    from softloc.model_files import verified_path

    with verified_path(model) as path:
        return {
            "name": model,
            "file": str(path),
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }


def _model_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    from softloc.streaming import megabytes_per_hour

    settings, shape = checkpoint.settings, checkpoint.settings.network
    look_ahead_s = (
        shape.look_ahead_frames * settings.features.grid.hop_s
        + settings.features.look_ahead_samples / settings.features.sample_rate_hz
    )
    return {
        "classes": dict(zip(settings.classes, settings.midi_notes, strict=True)),
        "n_members": settings.n_members,
        "n_weights": sum(
            weight.numel() for network in checkpoint.networks for weight in network.parameters()
        ),
        "look_ahead_ms": None if shape.bidirectional else round(1000 * look_ahead_s, 1),
        "memory_mb_an_hour": round(megabytes_per_hour(settings)) if shape.bidirectional else 0,
        "softness_ms": settings.softness_ms,
        "event_mass": settings.event_mass,
        "features": dataclasses.asdict(settings.features),
        "network": dataclasses.asdict(shape),
        "record": dict(checkpoint.record),
    }


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names with their values, for people and for grep."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif name == "members":
            records = {str(number): record for number, record in enumerate(value, 1)}
            yield from _flatten(records, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", escaped(value) if isinstance(value, str) else to_json(value)
