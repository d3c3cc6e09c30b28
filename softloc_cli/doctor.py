"""``softloc doctor``: what is wrong with a recording, or with this installation."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softloc.errors import AudioError, CheckpointError, SettingsError
from softloc.versions import UNKNOWN, installed_version
from softloc_cli import __version__
from softloc_cli.console import ExitCode, progress, report, shorten, user_errors
from softloc_cli.inputs import find_items

if TYPE_CHECKING:
    from softloc.diagnosis import Diagnosis, Level

#: What the numbers depend on; all are installed with softloc.
_LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "onnxruntime",
    "soundfile",
    "soxr",
    "librosa",
    "mir_eval",
    "mido",
)
#: What an optional extra brings, as the metadata of the package say it.
_EXTRA = re.compile(r"""(?P<package>[\w.-]+).*\bextra\s*==\s*["'](?P<extra>[\w-]+)["']""")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS")
_WIDTH = 11
_MISSING = "not installed"


def doctor(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="Recordings, folders, or quoted patterns such as 'takes/**/*.wav'.",
        ),
    ] = None,
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Search sub-folders of folders, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """Say how a recording will be read: decoder, tags, lengths, the shift that is corrected, level.

    Every file is decoded to its end. What can be read has no effect on the exit code, however odd;
    what cannot be read has. Without a FILE it reports on this installation: versions, devices,
    threads, shipped models, optional extras.
    """
    with user_errors():
        if files:
            _examine(_find(files, recursive=recursive), as_json=as_json)
        else:
            _examine_installation(as_json=as_json)


def _find(names: Sequence[str], *, recursive: bool) -> list[Path]:
    found = [item.source for item in find_items(names, recursive=recursive)]
    missing = [str(path) for path in found if not path.exists()]
    if missing:
        raise SettingsError(f"no such file or folder: {shorten(missing)}")
    return found


def _examine(files: Sequence[Path], *, as_json: bool) -> None:
    from softloc.diagnosis import diagnose

    documents: list[dict[str, Any]] = []
    n_failed = 0
    with progress("examining", len(files)) as advance:
        for path in files:
            try:
                diagnosis = diagnose(path)
            except AudioError as error:
                n_failed += 1
                report(f"error: {error}")
                documents.append({"file": str(path), "error": str(error)})
            else:
                documents.append({"file": str(path), **dataclasses.asdict(diagnosis)})
                if not as_json:
                    typer.echo(_render(path, diagnosis))
            advance()
    if as_json:
        _print_json({"softloc": __version__, "files": documents})
    if n_failed:
        raise typer.Exit(ExitCode.FAILED if n_failed == len(files) else ExitCode.PARTIAL)


def _render(path: Path, found: Diagnosis) -> str:
    channels = "1 channel" if found.n_channels == 1 else f"{found.n_channels} channels"
    header = "not stated" if found.header_s is None else f"{found.header_s:.3f} s"
    rows = [
        ("container", found.container),
        ("codec", f"{found.codec}, {found.sample_rate_hz} Hz, {channels}"),
        ("decoder", found.decoder),
        ("length", f"header {header}, decoded {found.decoded_s:.3f} s"),
        ("tags", ", ".join(f"{name}={value}" for name, value in found.tags.items()) or "none"),
        ("shift", _shift(found)),
        ("level", _level(found.level)),
        *(("warning", sentence) for sentence in found.warnings),
        *(("note", sentence) for sentence in found.remarks),
    ]
    return "\n".join([str(path), *(f"  {name:<{_WIDTH}} {text}" for name, text in rows)])


def _shift(found: Diagnosis) -> str:
    if not found.shift_ms:
        return "none"
    source = "assumed, the file does not tell" if found.shift_assumed else "known"
    return f"{found.shift_ms:.1f} ms, corrected ({source})"


def _level(level: Level) -> str:
    peak, rms = (
        "silence" if value is None else f"{value:.1f} dBFS"
        for value in (level.peak_dbfs, level.rms_dbfs)
    )
    return f"peak {peak}, RMS {rms}, DC {level.dc:+.4f}, {level.clipped_samples} samples clipped"


def _examine_installation(*, as_json: bool) -> None:
    models = _models()
    facts: dict[str, Mapping[str, Any]] = {
        "versions": _versions(),
        "engine": _engine(),
        "devices": _devices(),
        "threads": _threads(),
        "models": {name: state for name, (state, _) in models.items()},
        "extras": _extras(),
    }
    if as_json:
        _print_json({"softloc": __version__, **facts})
    else:
        for title, rows in facts.items():
            typer.echo(title)
            for name, value in rows.items():
                typer.echo(f"  {name:<{_WIDTH}} {value}")
    damaged = [name for name, (_, whole) in models.items() if not whole]
    if damaged:
        raise CheckpointError(
            f"shipped models are damaged: {', '.join(damaged)}; install softloc again"
        )


def _versions() -> dict[str, str]:
    import soundfile

    return {
        "softloc": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: _version(name) for name in _LIBRARIES},
        "libsndfile": soundfile.__libsndfile_version__,
    }


def _engine() -> dict[str, str]:
    from softloc.engines import AUTO, choose_engine

    return {"auto means": choose_engine(AUTO, AUTO)}


def _devices() -> dict[str, str]:
    import torch

    from softloc.engines import choose_device

    found = {"cpu": platform.processor() or platform.machine()}
    for index in range(torch.cuda.device_count()):
        found[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple"
    return {**found, "auto means": choose_device("auto")}


def _threads() -> dict[str, str | int]:
    import torch

    variables = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    return {"cores": os.cpu_count() or 1, "torch": torch.get_num_threads(), **variables}


def _models() -> dict[str, tuple[str, bool]]:
    """State of every shipped model in words, and whether it is as shipped."""
    from softloc.checkpoints import load_checkpoint
    from softloc.model_files import pretrained_index

    found = {}
    for name, entry in pretrained_index().items():
        try:
            load_checkpoint(name)
        except (CheckpointError, OSError) as error:
            found[name] = (str(error), False)
        else:
            found[name] = (f"whole, SHA-256 {entry['sha256']}", True)
    return found


def _extras() -> dict[str, str]:
    """Tell the packages of each optional extra, or how to install what is missing."""
    packages: dict[str, list[str]] = {}
    for requirement in _requirements():
        if found := _EXTRA.match(requirement):
            packages.setdefault(found["extra"], []).append(found["package"])
    return {extra: _describe_extra(extra, names) for extra, names in sorted(packages.items())}


def _requirements() -> list[str]:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return requires("softloc") or []
    except PackageNotFoundError:  # a checkout that is run where it lies
        return []


def _describe_extra(extra: str, packages: Sequence[str]) -> str:
    versions = {package: _version(package) for package in packages}
    if _MISSING in versions.values():
        missing = " and ".join(name for name, found in versions.items() if found == _MISSING)
        return f"{missing} {_MISSING}: pip install 'softloc[{extra}]'"
    return ", ".join(f"{name} {found}" for name, found in versions.items())


def _version(package: str) -> str:
    found = installed_version(package)
    return _MISSING if found == UNKNOWN else found


def _print_json(document: Mapping[str, object]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
