"""Work that is killed, interrupted, or runs out of disk at random moments.

Conventions
-----------
- A subject is a command whose result is known from a run that nobody disturbed. Every trial starts
  in a new folder, where an old result stands, disturbs the command once, looks at what is there,
  and lets it go on: with ``--resume``, ``--skip-existing``, or just again.
- *Survived* means: every file of a result is the old one or the whole new one; after Ctrl-C nothing
  else is left, the exit code is 130 and there is no traceback, unless Python itself was interrupted
  while it started (`ended_before_us`); no process goes on; and in the end
  the result is that of the undisturbed run, bit for bit, with nothing beside it.
- A cluster has two workers on this machine. Killed or interrupted is the command that gives it
  work, or else, which the command must take no notice of, one of the workers.
- A moment is drawn evenly from the time that the undisturbed run took; a file may not grow beyond a
  number of bytes drawn evenly up to the largest of the result (`limit`), or the results lie on a
  disk that has a number of pages left, drawn evenly up to those of all results (`disk`). What
  *landed* are faults that the command did not finish before, and a worker that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from benchmarks.recordings import RATE_HZ, clicks
from benchmarks.robustness.clusters import LocalCluster
from benchmarks.robustness.disks import PAGE_BYTES, mounted_disk, only_pages_left
from benchmarks.robustness.forks import ForkedCommand
from softloc.checkpoints import load_checkpoint

MODEL = Path(__file__).resolve().parents[2] / "tests" / "golden" / "checkpoint-format1.safetensors"
_MODEL = ("-m", str(MODEL), "--note-map", "door slam=40")
OLD = b"old\n"
FAULTS = ("kill", "interrupt", "limit", "disk")
FAULTS_OF_CLUSTER = ("kill", "interrupt", "worker")

#: Room for all that a subject writes.
_DISK_BYTES = 256 << 20

#: How long the processes of a command that was killed may take to notice.
_GRACE_S = 10.0
_LIMIT_S = 300.0

#: What Python says where Ctrl-C ends it with 1: it was importing `site`, or what runs ``-m``.
_STARTING = ("Fatal Python error: init_import_site:", "Could not import runpy module")

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Subject:
    """A command that is disturbed.

    Attributes
    ----------
    prepare : callable
        Make its input in a folder.
    arguments : callable
        Its command line, from the folders of input and output, and whether it is to go on.
    old : tuple of str
        Names of old results that stand in its output folder.
    results : callable
        What must agree in the end, from the output folder.
    faults : tuple of str
        What may be done to it.
    on_cluster : bool
        Whether a cluster does the work.
    imported : tuple of str
        Modules whose import would take most of its time: it is forked from a process that has
        imported them (`benchmarks.robustness.forks`). None: a new process.
    """

    prepare: Callable[[Path], None]
    arguments: Callable[[Path, Path, bool], Sequence[str]]
    old: tuple[str, ...]
    results: Callable[[Path], Files]
    faults: tuple[str, ...] = FAULTS
    on_cluster: bool = False
    imported: tuple[str, ...] = ()


def _write_songs(folder: Path, n_songs: int = 6) -> None:
    for number in range(n_songs):
        times_s = tuple(0.2 + 0.1 * (number % 6) + 0.5 * hit for hit in range(8))
        soundfile.write(folder / f"song {number}.wav", clicks(times_s, 5.0), RATE_HZ)


def _write_many_songs(folder: Path) -> None:
    _write_songs(folder, 30)


def _write_corpus(folder: Path) -> None:
    rows = ["file,time_s,label"]
    for number in range(3):
        times_s = tuple(0.2 + 0.1 * number + 0.5 * hit for hit in range(8))
        soundfile.write(folder / f"take{number}.wav", clicks(times_s, 5.0), RATE_HZ)
        rows += [f"take{number}.wav,{time_s:.6f},KD" for time_s in times_s]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def _transcribe(source: Path, out: Path, _: bool) -> Sequence[str]:
    song = str(source / "song 0.wav")
    return ["transcribe", song, *_MODEL, "-o", str(out / "song.mid")]


def _transcribe_all(source: Path, out: Path, goes_on: bool) -> Sequence[str]:
    return [*_transcribe_afar(source, out, goes_on), "-j", "2"]


def _transcribe_afar(source: Path, out: Path, goes_on: bool) -> Sequence[str]:
    shape = [*_MODEL, "-o", str(out), "-f", "mid,json"]
    existing = "--skip-existing" if goes_on else "--overwrite"
    return ["transcribe", str(source), *shape, existing, "--log-json", str(out / "log.jsonl")]


def _train(source: Path, out: Path, goes_on: bool) -> Sequence[str]:
    model = out / "model.safetensors"
    starts = "--resume" if goes_on and model.with_suffix(".state").exists() else "--overwrite"
    shape = ["--size", "small", "--steps", "12", "--batch-size", "2", "--window", "1", "-q"]
    labels = ["--labels", str(source / "labels.csv"), "-o", str(model)]
    return ["train", *labels, *shape, "--save-every", "0", "--threads", "1", "-d", "cpu", starts]


def _files(out: Path) -> Files:
    results = (path for path in sorted(out.iterdir()) if path.suffix in (".mid", ".json"))
    return {path.name: path.read_bytes() for path in results if not path.name.startswith(".")}


def _weights(out: Path) -> Files:
    path = out / "model.safetensors"
    if not path.exists() or path.read_bytes() == OLD:
        return {}
    network = load_checkpoint(path).network
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


SUBJECTS: Mapping[str, Subject] = {
    "transcription": Subject(_write_songs, _transcribe, ("song.mid",), _files),
    "batch": Subject(_write_songs, _transcribe_all, ("song 3.mid", "song 5.json"), _files),
    "cluster": Subject(
        _write_many_songs,
        _transcribe_afar,
        ("song 3.mid", "song 5.json"),
        _files,
        FAULTS_OF_CLUSTER,
        on_cluster=True,
    ),
    "training": Subject(
        _write_corpus,
        _train,
        ("model.safetensors",),
        _weights,
        imported=("softloc_cli.app", "softloc.training", "torch._dynamo", "librosa.filters"),
    ),
    "start of training": Subject(
        _write_corpus, _train, ("model.safetensors",), _weights, ("kill", "interrupt")
    ),
}


class Campaign:
    """Trials of one subject.

    Parameters
    ----------
    subject : Subject
        What is disturbed.
    seed : int
        Of all draws.
    folder : Path
        For everything.
    cluster : LocalCluster or None
        What does the work.
    disk : Path or None
        Where results go that shall not find enough room.

    Attributes
    ----------
    n_landed : int
        Faults of all trials so far that the command did not finish before.
    """

    def __init__(
        self,
        subject: Subject,
        seed: int,
        folder: Path,
        cluster: LocalCluster | None = None,
        disk: Path | None = None,
    ) -> None:
        self.subject = subject
        self.cluster = cluster
        self.disk = disk
        self.n_landed = 0
        self.rng = random.Random(seed)  # noqa: S311 - no secret
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        subject.prepare(self.source)
        out = self._new_folder("undisturbed")
        code, said = self._run(out, goes_on=False)  # the first run also warms the disk
        shutil.rmtree(out)
        if code:
            raise RuntimeError(f"undisturbed it ended with {code}: {said}")
        out = self._new_folder("undisturbed")
        began_s = time.monotonic()
        self._run(out, goes_on=False)
        self.seconds = time.monotonic() - began_s
        self.wanted = subject.results(out)
        sizes = [path.stat().st_size for path in out.iterdir()]
        self.largest = max(sizes)
        self.n_pages = sum(-(-size // PAGE_BYTES) for size in sizes)

    def trial(self, fault: str, number: int) -> list[str]:
        """Disturb the command once; what is wrong after it."""
        if self.cluster is not None:
            self.cluster.wait_until_complete()
        out = self._new_folder(f"{fault}{number}", self.disk if fault == "disk" else None)
        problems = list(self._disturb(out, fault))
        code, said = self._run(out, goes_on=True)
        if code:
            problems.append(f"going on ended with {code}: {said[-200:]}")
        elif self.subject.results(out) != self.wanted:
            # A batch goes on past results that exist, old ones too.
            skipped = {n for n, content in self.subject.results(out).items() if content == OLD}
            different = {
                name
                for name in self.wanted
                if name not in skipped and self.subject.results(out).get(name) != self.wanted[name]
            }
            problems += [f"another result in the end: {name}" for name in sorted(different)]
        problems += [f"{name} is left in the end" for name in _unfinished(out)]
        shutil.rmtree(out)
        return problems

    def _new_folder(self, name: str, disk: Path | None = None) -> Path:
        out = (disk or self.folder) / name
        out.mkdir()
        for old in self.subject.old:
            (out / old).write_bytes(OLD)
        return out

    def _run(self, out: Path, *, goes_on: bool) -> tuple[int, str]:
        with self._started(out, goes_on=goes_on) as process:
            _, said = process.communicate(timeout=_LIMIT_S)
            return process.returncode, said

    @contextlib.contextmanager
    def _started(
        self, out: Path, *, goes_on: bool, max_bytes: int | None = None
    ) -> Iterator[subprocess.Popen[str] | ForkedCommand]:
        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in the background of a shell
            if max_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))

        arguments = list(self.subject.arguments(self.source, out, goes_on))
        if self.cluster is not None:
            arguments += ["--scheduler", str(self.cluster.scheduler_file)]
        if self.subject.imported:
            with ForkedCommand(arguments, self.subject.imported, max_bytes) as command:
                yield command
            return
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "softloc_cli", *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=prepare,  # noqa: PLW1509 - no other thread here
        ) as process:  # fmt: skip
            yield process

    def _disturb(self, out: Path, fault: str) -> Iterator[str]:
        max_bytes = self.rng.randrange(self.largest) if fault == "limit" else None
        with (
            self._room(fault),
            self._started(out, goes_on=False, max_bytes=max_bytes) as process,
        ):
            if fault not in ("limit", "disk"):
                time.sleep(self.rng.uniform(0.0, self.seconds))
                # Ctrl-C reaches all processes of a terminal, kill -9 the one that is named.
                if fault == "kill":
                    process.kill()
                elif fault == "worker":
                    self._kill_worker()
                else:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=_LIMIT_S)
            self.n_landed += process.returncode != 0 or fault == "worker"
            yield from self._judge_ending(fault, process.returncode, said)
            yield from _still_running(process.pid)
        yield from self._judge_files(out, fault)

    def _room(self, fault: str) -> contextlib.AbstractContextManager[None]:
        if fault != "disk":
            return contextlib.nullcontext()
        assert self.disk is not None, "this fault needs one"  # noqa: S101
        return only_pages_left(self.disk, self.rng.randrange(self.n_pages))

    def _kill_worker(self) -> None:
        assert self.cluster is not None, "only a cluster has this fault"  # noqa: S101
        self.rng.choice(self.cluster.workers()).kill()

    def _judge_ending(self, fault: str, code: int, said: str) -> Iterator[str]:
        if fault == "interrupt" and ended_before_us(code, said):
            return
        allowed = {
            "kill": (0, -signal.SIGKILL),
            "interrupt": (0, 130),
            "limit": (0, 1, 3),
            "disk": (0, 1, 3),
            "worker": (0,),
        }[fault]
        if code not in allowed:
            yield f"exit code {code}: {said[-300:]}"
        before, traceback, after = said.partition("Traceback")
        if traceback:
            yield f"a traceback: {before[-300:]}{traceback}{after[:3000]}"

    def _judge_files(self, out: Path, fault: str) -> Iterator[str]:
        for name, content in self.subject.results(out).items():
            if name in self.wanted and content not in (OLD, self.wanted[name]):
                yield f"{name} is neither the old nor the new result"
        if fault != "kill":
            yield from (f"{name} is left" for name in _unfinished(out))
        for path in out.iterdir():
            if path.name == "log.jsonl":
                yield from _broken_lines(path, fault)


def ended_before_us(code: int, said: str) -> bool:
    """Whether Ctrl-C met Python while it started, before a line of ours ran.

    Parameters
    ----------
    code : int
        Exit code.
    said : str
        All that was written to stderr.
    """
    return code == -signal.SIGINT or (code == 1 and said.startswith(_STARTING))


def _unfinished(out: Path) -> list[str]:
    """Hidden files that stay; workers elsewhere may have been at one when their client went."""
    deadline_s = time.monotonic() + _GRACE_S
    while left := [path.name for path in out.iterdir() if path.name.startswith(".")]:
        if time.monotonic() > deadline_s:
            break
        time.sleep(0.2)
    return left


def _broken_lines(path: Path, fault: str) -> Iterator[str]:
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    if rest and fault not in ("limit", "disk"):
        yield "the log ends within a line"
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            yield f"the log holds {line!r}"


def _still_running(session: int) -> Iterator[str]:
    """Tell whether processes of a session outlive its leader by more than a few seconds."""
    deadline_s = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline_s:
        try:
            os.killpg(session, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.2)
    os.killpg(session, signal.SIGKILL)
    yield "processes go on"


def run_faults(
    name: str, faults: Sequence[str], times: int, seed: int
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Disturb a subject so many times with each fault.

    Parameters
    ----------
    name : str
        In `SUBJECTS`.
    faults : sequence of str
        Of those of the subject.
    times : int
        Trials of each.
    seed : int
        Of all draws.

    Returns
    -------
    counts : dict
        ``injected``, ``landed`` and ``survived`` of each fault.
    problems : list of str
        What went wrong, in words.
    """
    counts = {fault: Counter[str]() for fault in faults}
    problems = []
    subject = SUBJECTS[name]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softloc-faults-")))
        cluster = stack.enter_context(LocalCluster(folder)) if subject.on_cluster else None
        small = mounted_disk(folder / "disk", _DISK_BYTES) if "disk" in faults else None
        disk = stack.enter_context(small) if small else None
        campaign = Campaign(subject, seed, folder, cluster, disk)
        for fault in faults:
            for number in range(times):
                n_landed = campaign.n_landed
                found = campaign.trial(fault, number)
                counts[fault]["injected"] += 1
                counts[fault]["landed"] += campaign.n_landed - n_landed
                counts[fault]["survived"] += not found
                problems += [f"{fault} {number}: {problem}" for problem in found]
    return counts, problems
