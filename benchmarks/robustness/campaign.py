"""A fuzzing campaign: a worker tries inputs, and whoever watches it survives what it does not.

Conventions
-----------
- The worker is a process of its own. The input at hand and all counts stand in a file that both
  processes map, so that nothing is lost when the worker dies; it is then started again.
- A *crash* is any exception but ours, a broken rule (`benchmarks.robustness.rules`) or the death
  of the worker; a *hang* is an input that costs more processor time than `Limits.seconds`; an input
  is *over memory* when the process grows by more than `Limits.bytes` over it.
- Coverage-guided (atheris) where that is installed, else seeded mutations. A seed repeats a
  campaign of mutations exactly, as far as it gets in its time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import importlib
import importlib.util
import mmap
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COUNTS = ("inputs", "read", "refused", "by_command", "crashes", "hangs", "over_memory")

#: Without an answer for so long, by the clock, a worker is killed.
PATIENCE_S = 60.0

_SHARED_BYTES = 1 << 18
_HEAD = struct.Struct(f"<{len(COUNTS)}qqq")
_SAVED_OF_A_KIND = 3
_LAST_WORDS = "last words"
_SPARE_BYTES = 3 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What an input may cost.

    Attributes
    ----------
    seconds : float
        Of processor time, on a machine that does other things as well.
    bytes : int
        Of memory.
    """

    seconds: float = 1.0
    bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker shall do.

    Attributes
    ----------
    target : str
        Name of what is attacked.
    seconds : float
        For how long; infinite where the number of inputs decides.
    n_inputs : int
        How many inputs at most.
    seed : int
        Of all draws.
    engine : str
        ``"atheris"`` or ``"mutations"``.
    folder : Path
        Where the shared file is, and inputs are put.
    findings : Path
        Where inputs are kept that broke something.
    """

    target: str
    seconds: float
    n_inputs: int
    seed: int
    engine: str
    folder: Path
    findings: Path

    def arguments(self) -> list[str]:
        """Write it as command line of a worker."""
        numbers = [str(self.seconds), str(self.n_inputs), str(self.seed)]
        return [self.target, *numbers, self.engine, str(self.folder), str(self.findings)]


def parse_order(arguments: list[str]) -> Order:
    """Read what `Order.arguments` wrote."""
    target, seconds, n_inputs, seed, engine, folder, findings = arguments
    return Order(
        target, float(seconds), int(n_inputs), int(seed), engine, Path(folder), Path(findings)
    )


class Blackboard:
    """Counts and the input at hand, in a file that two processes map.

    Parameters
    ----------
    folder : Path
        Where the file is.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "blackboard"
        if not path.exists():
            path.write_bytes(bytes(_SHARED_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def counts(self) -> Counter[str]:
        """Read the counts so far."""
        return Counter(dict(zip(COUNTS, _HEAD.unpack_from(self._map)[:-2], strict=True)))

    def add(self, name: str) -> None:
        """Count one more."""
        index = COUNTS.index(name)
        (value,) = struct.unpack_from("<q", self._map, 8 * index)
        struct.pack_into("<q", self._map, 8 * index, value + 1)

    def begin(self, form: int, data: bytes) -> None:
        """Note the input that is about to be tried."""
        struct.pack_into("<qq", self._map, 8 * len(COUNTS), form, len(data))
        self._map[_HEAD.size : _HEAD.size + len(data)] = data

    def at_hand(self) -> tuple[int, bytes]:
        """Form and content of the input that is tried, or was last."""
        *_, form, length = _HEAD.unpack_from(self._map)
        return form, self._map[_HEAD.size : _HEAD.size + length]


@dataclass(slots=True)
class Trial:
    """Tries inputs of one target and keeps those that broke something."""

    target: Any
    order: Order
    board: Blackboard
    limits: Limits = field(default_factory=Limits)
    kinds: Counter[str] = field(default_factory=Counter)

    def __call__(self, form: int, data: bytes) -> None:
        """Try one input."""
        target = self.target
        path = self.order.folder / f"input{target.suffixes[form]}"
        path.write_bytes(data)
        self.board.begin(form, data)
        began_s, before = time.process_time(), _peak_bytes()
        try:
            self.board.add("read" if target.attempt(path) else "refused")
            if self.board.counts()["inputs"] % target.command_every == 0:
                target.command(path)
                self.board.add("by_command")
        except MemoryError:
            self._found("over_memory", "MemoryError", path, data)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - that is what is looked for
            self._found("crashes", _place_of(error), path, data)
        took_s, grown = time.process_time() - began_s, _peak_bytes() - before
        if took_s > self.limits.seconds:
            self._found("hangs", f"{took_s:.1f} s", path, data)
        # The first inputs load libraries.
        if grown > self.limits.bytes and self.board.counts()["inputs"] > len(target.suffixes):
            self._found("over_memory", f"{grown >> 20} MiB", path, data)
        self.board.add("inputs")

    def _found(self, what: str, kind: str, path: Path, data: bytes) -> None:
        self.board.add(what)
        self.kinds[kind] += 1
        if self.kinds[kind] <= _SAVED_OF_A_KIND:
            keep(self.order, what, path.suffix, data, f"{kind}\n{traceback.format_exc()}")


def keep(order: Order, what: str, suffix: str, data: bytes, story: str) -> None:
    """Keep an input that broke something, and how."""
    order.findings.mkdir(parents=True, exist_ok=True)
    name = f"{order.target}-{what}-{hashlib.sha256(data).hexdigest()[:10]}"
    (order.findings / f"{name}{suffix}").write_bytes(data)
    (order.findings / f"{name}.story").write_text(story, encoding="utf-8", errors="replace")


def _place_of(error: BaseException) -> str:
    """Kind of an exception and the line of ours that it came through last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/softloc" in frame.filename] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_memory() -> None:
    """Let a claim of gigabytes fail instead of taking the machine down."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + _SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def has_atheris() -> bool:
    """Whether coverage can guide the search."""
    return importlib.util.find_spec("atheris") is not None


def work(order: Order) -> None:
    """Try inputs until the time is over; in a process of its own."""
    with (order.folder / _LAST_WORDS).open("w", encoding="utf-8") as last_words:
        faulthandler.enable(last_words)  # where it was when it died
        faulthandler.register(signal.SIGUSR2, last_words)  # or hung
        if order.engine == "atheris":
            _work_guided(order)
        else:
            _work_blindly(order)


def _prepare(order: Order) -> tuple[Any, Trial]:
    targets: Any = importlib.import_module("benchmarks.robustness.targets")
    targets.silence_log()
    target = targets.TARGETS[order.target]
    return target, Trial(target, order, Blackboard(order.folder))


def _work_blindly(order: Order) -> None:
    mutations: Any = importlib.import_module("benchmarks.robustness.mutations")
    target, trial = _prepare(order)
    seeds = list(_seeds(target))
    for form, data in seeds:
        trial(form, data)
    _limit_memory()
    done = trial.board.counts()["inputs"]
    rng = random.Random(f"{order.seed}-{done}")  # noqa: S311 - no secret
    end_s = time.monotonic() + order.seconds
    while time.monotonic() < end_s and trial.board.counts()["inputs"] < order.n_inputs:
        form, data = rng.choice(seeds)
        trial(form, mutations.mutate(data, rng, target.tokens, target.max_bytes))


def _work_guided(order: Order) -> None:
    atheris: Any = importlib.import_module("atheris")
    # What stands in `targets` as packages, which cannot be read before it is imported.
    with atheris.instrument_imports(include=["softloc", "mido"], enable_loader_override=False):
        target, trial = _prepare(order)
    corpus = order.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, (form, data) in enumerate(_seeds(target)):
        (corpus / f"seed{number}").write_bytes(bytes([form]) + data)
    words = order.folder / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
    mutations: Any = importlib.import_module("benchmarks.robustness.mutations")

    def try_one(data: bytes) -> None:
        if data:
            trial(data[0] % len(target.suffixes), data[1:])

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        # An exception in here would end the worker for good, in its exit.
        rng = random.Random(seed)  # noqa: S311 - no secret
        if not mutations.is_model(data[1:]) or rng.random() < 0.3:
            changed: bytes = atheris.Mutate(data, max_bytes)
            return changed
        inside: bytes = mutations.mutate(data[1:], rng, target.tokens, max_bytes - 1)
        return data[:1] + inside

    options = [
        f"-seed={order.seed or 1}", f"-max_len={target.max_bytes + 1}", f"-dict={words}",
        "-rss_limit_mb=0", "-timeout=3600", "-print_final_stats=0", "-verbosity=0",
        "-close_fd_mask=3", "-len_control=0",
        *(f"-handle_{name}=0" for name in ("abrt", "bus", "fpe", "ill", "segv")),
    ]  # fmt: skip
    options += [f"-max_total_time={order.seconds:.0f}"] if order.seconds < 1e9 else []
    options += [f"-runs={order.n_inputs}"] if order.n_inputs < sys.maxsize else []
    custom = {"custom_mutator": mutate} if order.target == "checkpoints" else {}
    atheris.Setup([sys.argv[0], *options, str(corpus)], try_one, **custom)
    _limit_memory()
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


def _seeds(target: Any) -> Iterator[tuple[int, bytes]]:
    for name, data in target.seeds():
        yield target.suffixes.index(Path(name).suffix), data[: target.max_bytes]


def run_campaign(order: Callable[[Path, float, int, int], Order]) -> Counter[str]:
    """Keep a worker at it until the time is over or all inputs are tried.

    Parameters
    ----------
    order : callable
        Makes the order of a worker from its folder, the seconds since the start, the inputs tried
        so far, and its number.

    Returns
    -------
    Counter
        Of `COUNTS`.
    """
    began_s = time.monotonic()
    in_memory = Path("/dev/shm")  # noqa: S108 - a folder in memory, not a fixed name in it
    with tempfile.TemporaryDirectory(
        prefix="softloc-fuzz-", dir=in_memory if in_memory.is_dir() else None
    ) as name:
        board = Blackboard(Path(name))
        number = 0
        while True:
            gone_s = time.monotonic() - began_s
            current = order(Path(name), gone_s, board.counts()["inputs"], number)
            if current.seconds <= 0 or current.n_inputs <= 0:
                return board.counts()
            code = _watch(current, board)
            if code == 0:
                return board.counts()
            if board.counts()["inputs"] == 0:
                raise RuntimeError(f"the worker cannot start (exit code {code})")
            what = "hangs" if code is None else "crashes"
            form, data = board.at_hand()
            targets: Any = importlib.import_module("benchmarks.robustness.targets")
            suffix = targets.TARGETS[current.target].suffixes[form]
            words = (Path(name) / _LAST_WORDS).read_text(encoding="utf-8", errors="replace")
            keep(current, what, suffix, data, f"the worker ended with {code}\n{words}")
            board.add(what)
            board.add("inputs")
            number += 1


def _watch(order: Order, board: Blackboard) -> int | None:
    """Run a worker to its end; its exit code, None if it had to be killed."""
    command = [sys.executable, "-m", "benchmarks.robustness", "worker", *order.arguments()]
    with subprocess.Popen(command, start_new_session=True) as process:  # noqa: S603
        seen, seen_s = -1, time.monotonic()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(5.0)
            if board.counts()["inputs"] != seen:
                seen, seen_s = board.counts()["inputs"], time.monotonic()
            elif time.monotonic() - seen_s > PATIENCE_S:
                process.send_signal(signal.SIGUSR2)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5.0)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
