"""``softloc train``: from labels, however sloppy, to a model file."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softloc.errors import OutputError, SettingsError
from softloc.files import lock_folder
from softloc.formats import read_corpus
from softloc_cli import train_options as options
from softloc_cli.console import progress, report, report_skipped, user_errors
from softloc_cli.train_processes import is_for_launching, run_processes

if TYPE_CHECKING:
    from softloc.checkpoints import Checkpoint
    from softloc.datasets import Classes, Dataset
    from softloc.events import Corpus
    from softloc.training_observers import Observer
    from softloc.training_settings import Execution, TrainingSettings
    from softloc.training_validation import Validation

#: Folders of decoded audio; nobody else's end like this.
_CACHE_SUFFIX = ".softloc-cache"


def train(
    *,
    labels: options.Labels,
    output: options.Output,
    audio: options.Audio = None,
    outside: options.Outside = False,
    valid_labels: options.ValidLabels = None,
    valid_audio: options.ValidAudio = None,
    classes: options.Classes = None,
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    init: options.Init = None,
    size: options.Size = None,
    bidirectional: options.Bidirectional = False,
    loss: options.Loss = None,
    softness: options.Softness = None,
    annotator_softness: options.AnnotatorSoftness = None,
    measure: options.Measure = None,
    alpha: options.Alpha = None,
    label_length: options.LabelLength = None,
    steps: options.Steps = None,
    minutes: options.Minutes = None,
    batch_size: options.BatchSize = None,
    window: options.Window = None,
    learning_rate: options.LearningRate = None,
    augment: options.Augment = True,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    devices: options.Devices = 1,
    accumulate: options.Accumulate = 1,
    threads: options.Threads = 0,
    save_every: options.SaveEvery = None,
    tensorboard: options.Board = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model on your own, imperfect labels.

    Beside the model stand a run record (.run.json), the course of losses and scores (.curve.jsonl,
    and .curve.png where matplotlib is installed) and, while it trains, a state (.state) that
    --resume goes on from. All that is wrong with the data is reported before training starts.
    """
    with user_errors(), contextlib.ExitStack() as stack:
        if is_for_launching(devices) and not dry_run:
            run_processes(devices, threads=threads)
            return
        import torch

        from softloc.datasets import build_dataset, set_annotator_softness
        from softloc.training import fit
        from softloc.training_files import record_path

        execution = stack.enter_context(_execution(device, accumulate))
        leads = execution.team.leads
        quiet = quiet or not leads
        loss_options = {
            "name": loss,
            "measure": measure,
            "alpha": _number_or_name(alpha),
            "label_length_ms": label_length,
        }
        settings = _settings(
            loss_options,
            augment=augment,
            size=size,
            bidirectional=bidirectional or None,
            softness_ms=softness,
            steps=steps,
            minutes=minutes,
            batch_size=batch_size,
            window_s=window,
            learning_rate=learning_rate,
            state_interval_s=save_every,
            precision=precision,
            seed=seed,
        )
        execution.check_batch(settings.batch_size)
        if leads:
            _check_output(output, resume=resume, overwrite=overwrite)
        start = _load_start(init, size, bidirectional=bidirectional)
        corpus = read_corpus(labels)
        if leads:
            report_skipped(corpus)
        corpus = set_annotator_softness(corpus, _parse_annotators(annotator_softness or []))
        chosen = _choose_classes(classes, start, corpus)
        dataset = build_dataset(corpus, chosen, audio, settings.softness_ms, outside=outside)
        dataset, validation = _validation_data(
            dataset, valid_labels, valid_audio, settings, outside=outside
        )
        if not quiet:
            _describe(dataset, validation, settings)
        if dry_run:
            _check_recordings(dataset, validation)
            return
        if threads:
            torch.set_num_threads(threads)
        total_s = dataset.duration_s + validation.dataset.duration_s
        with (
            _interruptible(),
            _work_folder(output) if leads else contextlib.nullcontext(Path()) as folder,
            _observer(total_s, tensorboard if leads else None, quiet=quiet) as observer,
        ):
            record = fit(
                dataset,
                validation,
                settings,
                output,
                folder,
                init=start,
                resume=resume,
                execution=execution,
                record={"command": shlex.join(["softloc", *sys.argv[1:]])},
                observer=observer,
            )
        if not quiet:
            best = record["best"]
            if not validation.clean:
                _report_scatter(best.get("label_sigma_ms"), settings.softness_ms)
            report(
                f"{output}: best at step {best['step']} of {record['steps']}, validation loss "
                f"{best['valid_loss']:.4f}; {record_path(output).name} tells all"
            )


def _report_scatter(sigma_ms: float | None, softness_ms: float) -> None:
    """Say how noisy the labels seem to be, which is what the softness should say."""
    if sigma_ms is not None and math.isfinite(sigma_ms):
        report(
            f"the labels lie about {sigma_ms:.0f} ms (standard deviation) from what the model "
            f"hears, its own errors included; --softness was {softness_ms:g}"
        )


@contextlib.contextmanager
def _execution(device: str, accumulate: int) -> Iterator[Execution]:
    """Choose the device and meet the other processes, if there are any."""
    from softloc.engines import choose_device
    from softloc.processes import join_team, own_device
    from softloc.training_settings import Execution

    computes_on = choose_device(own_device(choose_device(device)))
    with join_team(computes_on) as team:
        yield Execution(computes_on, accumulate, team)


@contextlib.contextmanager
def _observer(audio_s: float, board: Path | None, *, quiet: bool) -> Iterator[Observer]:
    """Show the training on the terminal and, if wanted, in TensorBoard."""
    from softloc.training_observers import Observers
    from softloc_cli.train_board import TrainingBoard
    from softloc_cli.train_display import TrainingDisplay

    with contextlib.ExitStack() as stack:
        observers: list[Observer] = []
        if board is not None:
            observers.append(stack.enter_context(contextlib.closing(TrainingBoard(board))))
        observers.append(stack.enter_context(TrainingDisplay(audio_s, quiet=quiet)))
        yield Observers(observers)


def _check_recordings(dataset: Dataset, validation: Validation) -> None:
    from softloc.datasets import check_audio

    parts = (dataset, validation.dataset)
    with progress("decoding", sum(len(part.recordings) for part in parts)) as advance:
        for part in parts:
            check_audio(part, advance)
    report("--dry-run: the data is in order; nothing was trained")


def _settings(loss_options: dict[str, Any], *, augment: bool, **values: Any) -> TrainingSettings:
    """Defaults of the library, replaced by what was given."""
    from softloc.batches import NO_AUGMENTATION
    from softloc.training_settings import TrainingSettings

    defaults = TrainingSettings()
    given = {name: value for name, value in values.items() if value is not None}
    given["loss"] = dataclasses.replace(
        defaults.loss, **{name: value for name, value in loss_options.items() if value is not None}
    )
    if not augment:
        given["augment"] = NO_AUGMENTATION
    return dataclasses.replace(defaults, **given)


def _number_or_name(text: str | None) -> str | float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _parse_annotators(texts: list[str]) -> dict[str, float]:
    softness_ms = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            softness_ms[name] = float(value)
        except ValueError:
            softness_ms[name] = -1.0
        if not name or not softness_ms[name] >= 0.0:
            raise SettingsError(f"cannot read --annotator-softness {text!r}: write it as ann=50")
    return softness_ms


def _check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    from softloc.model_files import MODEL_SUFFIX
    from softloc.training_files import curve_path, picture_path, record_path, state_path

    if output.suffix != MODEL_SUFFIX:
        raise SettingsError(f"-o {output}: a model file ends in {MODEL_SUFFIX}")
    beside = (state_path, record_path, curve_path, picture_path)
    for path in (output, *(name(output) for name in beside)):
        if path.is_dir():
            raise SettingsError(f"{path}: is a folder, a file is to be written there")
    if resume and overwrite:
        raise SettingsError("--resume and --overwrite contradict each other")
    if resume and not state_path(output).exists():
        done = ": this training is finished" if output.exists() else ""
        raise SettingsError(f"{state_path(output)}: no interrupted training to resume{done}")
    if resume or overwrite:
        return
    if state_path(output).exists():
        raise SettingsError(
            f"{state_path(output)}: a training was interrupted here; give --resume to go on or "
            f"--overwrite to start afresh"
        )
    if output.exists():
        raise SettingsError(f"{output} exists already; give --overwrite to replace it")


def _load_start(init: str | None, size: str | None, *, bidirectional: bool) -> Checkpoint | None:
    from softloc.checkpoints import load_checkpoint

    if init is None:
        return None
    if size is not None or bidirectional:
        raise SettingsError("--init brings its own network: leave --size and --bidirectional out")
    start = load_checkpoint(init)
    if start.others:
        report(f"{init} has {start.settings.n_members} members: the first one is trained on")
    return start


def _choose_classes(option: str | None, start: Checkpoint | None, corpus: Corpus) -> Classes:
    from softloc.datasets import choose_classes, classes_of_model

    if option is None and start is not None:
        return classes_of_model(start.settings.classes)
    return choose_classes(option or "auto", corpus)


def _validation_data(
    dataset: Dataset,
    valid_labels: Path | None,
    valid_audio: Path | None,
    settings: TrainingSettings,
    *,
    outside: bool,
) -> tuple[Dataset, Validation]:
    from softloc.datasets import build_dataset, check_apart
    from softloc.training_validation import Validation

    if valid_labels is not None:
        corpus = read_corpus(valid_labels)
        report_skipped(corpus)
        held = build_dataset(
            corpus, dataset.classes, valid_audio, settings.softness_ms, outside=outside
        )
        check_apart(dataset, held)
    else:
        dataset, held = dataset.split(settings.validation_share, settings.seed)
    short = held.shorten(settings.max_validation_s, settings.seed)
    return dataset, Validation(short, clean=valid_labels is not None)


def _describe(dataset: Dataset, validation: Validation, settings: TrainingSettings) -> None:
    for note in (*dataset.notes, *validation.dataset.notes):
        report(f"note: {note}")
    for name, part in (("training", dataset), ("validation", validation.dataset)):
        counts = ", ".join(f"{label} {count}" for label, count in part.count_labels().items())
        report(
            f"{name}: {len(part.recordings)} recordings, {part.duration_s / 60:.1f} min ({counts})"
        )
    if not validation.clean:
        tolerance_ms = 1000 * validation.tolerances_s(settings.softness_ms)[0]
        report(
            f"validation labels are as noisy as the training labels: F1 is counted within "
            f"±{tolerance_ms:g} ms and flatters nobody; --valid-labels takes exact ones"
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        report("--resume goes on from the last saved state")
        raise


@contextlib.contextmanager
def _work_folder(output: Path) -> Iterator[Path]:
    """Keep decoded audio beside the model; what a killed run of this model left is removed.

    Raises
    ------
    SettingsError
        If another process is training this model.
    """
    prefix = f".{output.stem}-"
    # The whole name: that of another model may begin alike.
    ours = re.compile(re.escape(prefix) + "[a-z0-9_]{8}" + re.escape(_CACHE_SUFFIX))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for left in list(output.parent.iterdir()):
            if ours.fullmatch(left.name):
                _remove_abandoned(left, output)
        folder = Path(tempfile.mkdtemp(_CACHE_SUFFIX, prefix, output.parent))
        lock = lock_folder(folder)
    except OSError as error:
        raise OutputError(f"cannot write beside {output}: {error.strerror}") from error
    try:
        yield folder
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(folder: Path, output: Path) -> None:
    """Remove what a killed training left; what may be in use stays where nothing can be locked."""
    try:
        lock = lock_folder(folder)
    except FileNotFoundError:  # its own training has just ended
        return
    except BlockingIOError as error:
        raise SettingsError(f"{output}: another softloc is training this model") from error
    if lock is None and sys.platform != "win32":  # which keeps files that are open
        report(f"note: {folder} stays; remove it unless another softloc is training this model")
        return
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        os.close(lock)
