"""Much to do: thousands of files, a day in one file, several batches side by side.

Conventions
-----------
- Recordings are cut from the shipped example, or repeat it, so that the shipped model finds events
  in them. Every piece is that of a seed.
- Memory is the largest resident set of a process as the system counts it, looked up twice a second
  while it runs. Processor time is that of a process and its children.
- What is right is what the program says of less: of a file alone, of the pattern three times over,
  of a batch with nothing beside it. Files are compared byte for byte.
- Time on the clock depends on what else the machine does; the load average says how much.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from softloc import Onset, read_onsets

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "groove.flac"
FORMATS = ("csv", "mid")

#: A pattern ends in silence, so that no event lies between two of its repetitions.
PATTERN_S, SILENCE_S = 300, 5
REFERENCE_REPETITIONS = 3

_LOOK_EVERY_S = 0.05
_MB = 1e6

Row = dict[str, Any]


@dataclass(slots=True)
class Watched:
    """A command that runs, and what was seen of it.

    Attributes
    ----------
    process : Popen
        The command.
    recording : Path or None
        A file whose reading is followed.
    peaks_mb : dict
        Largest memory of the process and of each of its children, by their number.
    progress : list of (int, float)
        Bytes of the recording that were read, and processor time until then.
    """

    process: subprocess.Popen[str]
    recording: Path | None = None
    peaks_mb: dict[int, float] = field(default_factory=dict)
    progress: list[tuple[int, float]] = field(default_factory=list)
    cpu_s: float = 0.0
    seconds: float = 0.0
    has_ended: bool = False
    _began_s: float = field(default_factory=time.monotonic)

    @property
    def own_mb(self) -> float:
        """Largest memory of the process itself."""
        return self.peaks_mb[self.process.pid]

    @property
    def children_mb(self) -> list[float]:
        """Largest memory of each of its children that works."""
        return [peak for pid, peak in self.peaks_mb.items() if pid != self.process.pid]

    def look(self) -> None:
        """Look how large it and its children are, and whether it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            for each in (process, *process.children(recursive=True)):
                # One that has just ended must not hide the others.
                with contextlib.suppress(psutil.NoSuchProcess):
                    # What multiprocessing starts beside the workers does no work.
                    if "resource_tracker" not in " ".join(each.cmdline()):
                        self._note_peak(each.pid)
            if self.recording is not None:
                self._note_progress(process)
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_s = usage.ru_utime + usage.ru_stime
            self.seconds = time.monotonic() - self._began_s
            self.has_ended = True

    def _note_peak(self, pid: int) -> None:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            line = next(line for line in lines if line.startswith("VmHWM:"))
            self.peaks_mb[pid] = max(self.peaks_mb.get(pid, 0.0), int(line.split()[1]) * 1024 / _MB)

    def _note_progress(self, process: psutil.Process) -> None:
        times = process.cpu_times()
        files = process.open_files()
        # It is opened twice; whoever looked at the header has no reason to go on.
        positions = [file.position for file in files if Path(file.path) == self.recording]
        if len(positions) > 1:
            self.progress.append((min(positions), times.user + times.system))


def transcribe(*commands: Sequence[str], recording: Path | None = None) -> list[Watched]:
    """Run ``softloc transcribe`` with each of these arguments, side by side, and watch them."""
    with contextlib.ExitStack() as stack:
        watched = []
        for arguments in commands:
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "softloc_cli", "transcribe", "-q", *arguments],
                stdout=subprocess.DEVNULL, stderr=said, text=True,
            )  # fmt: skip
            watched.append((Watched(process, recording), said))
        while not all(each.has_ended for each, _ in watched):
            time.sleep(_LOOK_EVERY_S)
            for each, _ in watched:
                if not each.has_ended:
                    each.look()
        for each, said in watched:
            if each.process.returncode:
                said.seek(0)
                raise RuntimeError(f"ended with {each.process.returncode}: {said.read()[-500:]}")
    return [each for each, _ in watched]


def write_excerpts(folder: Path, n_files: int, seed: int) -> list[Path]:
    """Cut so many recordings of one to two seconds from the example."""
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    rng = random.Random(seed)  # noqa: S311 - no secret
    paths = [folder / f"excerpt {number:05}.wav" for number in range(n_files)]
    for path in paths:
        n_samples = rng.randrange(rate_hz, 2 * rate_hz)
        start = rng.randrange(len(samples) - n_samples)
        soundfile.write(path, samples[start : start + n_samples], rate_hz)
    return paths


def load_batch(n_files: int, n_few: int, jobs: Sequence[int], n_alone: int, seed: int) -> list[Row]:
    """Transcribe many files, and few, with so many workers each.

    Parameters
    ----------
    n_files, n_few : int
        Sizes of the large and of the small batch.
    jobs : sequence of int
        Numbers of worker processes, one after another.
    n_alone : int
        Files of the large batch that are transcribed again, alone.
    seed : int
        Of the excerpts and of the choice.

    Returns
    -------
    list of dict
        A row for each batch.
    """
    rows = []
    with _folder() as folder:
        (folder / "in").mkdir()
        recordings = write_excerpts(folder / "in", n_files, seed)
        chosen = random.Random(seed).sample(recordings, min(n_alone, n_files))  # noqa: S311
        alone = _one_by_one(chosen, folder / "alone")
        for n_jobs in jobs:
            for n in sorted({min(n_few, n_files), n_files}):
                out, listed = folder / f"out {n_jobs} {n}", folder / "list"
                listed.write_text("\n".join(map(str, recordings[:n])))
                arguments = ["--files-from", str(listed), "-j", str(n_jobs), *_to(out)]
                load = os.getloadavg()[0]
                (watched,) = transcribe(arguments)
                results = _contents(out)
                wanted = {name: alone[name] for name in alone if _index(name) < n}
                rows.append(
                    {
                        "files": n,
                        "jobs": n_jobs,
                        **_costs(watched, load),
                        "results_missing": n * len(FORMATS) - len(results),
                        **_differences(results, wanted, "alone"),
                    }
                )
    return rows


def load_recording(hours: int) -> list[Row]:
    """Transcribe one long recording: a pattern again and again, in a RF64 file.

    Parameters
    ----------
    hours : int
        Its length.

    Returns
    -------
    list of dict
        One row.
    """
    n_repetitions = hours * 3600 // PATTERN_S
    with _folder() as folder:
        short, long = folder / "short.wav", folder / "long.wav"
        write_repetitions(short, REFERENCE_REPETITIONS)
        transcribe([str(short), *_to(folder)])
        reference = _by_repetition(read_onsets(short.with_suffix(".csv")), REFERENCE_REPETITIONS)
        write_repetitions(long, n_repetitions)
        load = os.getloadavg()[0]
        (watched,) = transcribe([str(long), *_to(folder)], recording=long)
        size = long.stat().st_size
        long.unlink()
        onsets = read_onsets(long.with_suffix(".csv"))
        from_midi = read_onsets(long.with_suffix(".mid"))
    found = _by_repetition(onsets, n_repetitions)
    predicted = [reference[0], *[reference[1]] * (n_repetitions - 2), reference[-1]]
    pairs = list(zip(found, predicted, strict=True))
    first_s, last_s = (_cpu_of_hour(watched.progress, size, hour, hours) for hour in (0, hours - 1))
    return [
        {
            "hours": hours,
            "file_bytes": size,
            **_costs(watched, load),
            "cpu_s_first_hour": first_s,
            "cpu_s_last_hour": last_s,
            "events": len(onsets),
            "events_predicted": sum(len(each) for each in predicted),
            "repetitions": n_repetitions,
            "repetitions_with_other_counts": sum(_counts(a) != _counts(b) for a, b in pairs),
            "largest_time_difference_ms": _largest_difference_ms(pairs),
            "events_in_midi": len(from_midi),
            "largest_difference_of_midi_ms": _largest_difference_ms([(onsets, from_midi)]),
        }
    ]


def load_together(n_batches: int, n_files: int, seed: int) -> list[Row]:
    """Transcribe several batches one after another, and then all at once.

    Parameters
    ----------
    n_batches : int
        How many.
    n_files : int
        Recordings in each.
    seed : int
        Of the recordings.

    Returns
    -------
    list of dict
        A row for each batch.
    """
    with _folder() as folder:
        commands: dict[str, list[list[str]]] = {"alone": [], "together": []}
        for number in range(n_batches):
            source = folder / f"in {number}"
            source.mkdir()
            write_excerpts(source, n_files, seed + number)
            for way, orders in commands.items():
                orders.append([str(source), *_to(folder / f"{way} {number}")])
        alone = [transcribe(arguments)[0] for arguments in commands["alone"]]
        load = os.getloadavg()[0]
        together = transcribe(*commands["together"])
        return [
            {
                "batch": number,
                "batches": n_batches,
                "files": n_files,
                **_costs(together[number], load),
                "peak_mb_alone": round(alone[number].own_mb, 1),
                "cpu_s_alone": round(alone[number].cpu_s, 1),
                **_differences(
                    _contents(folder / f"together {number}"),
                    _contents(folder / f"alone {number}"),
                    "alone",
                ),
            }
            for number in range(n_batches)
        ]


def write_repetitions(path: Path, n_repetitions: int) -> None:
    """Write the pattern so many times into a RF64 file: the example, played until silence."""
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    pattern = np.zeros(PATTERN_S * rate_hz, dtype=np.int16)
    n_played = (PATTERN_S - SILENCE_S) * rate_hz
    pattern[:n_played] = np.resize(samples, n_played)
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16", format="RF64") as file:
        for _ in range(n_repetitions):
            file.write(pattern)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="softloc-load-") as name:
        yield Path(name)


def _to(out: Path) -> list[str]:
    return ["-o", f"{out}/", "-f", ",".join(FORMATS)]


def _one_by_one(recordings: Sequence[Path], out: Path) -> dict[str, bytes]:
    for recording in recordings:
        transcribe([str(recording), *_to(out)])
    return _contents(out)


def _contents(out: Path) -> dict[str, bytes]:
    """Results by name; of what is hidden there should be none."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _index(name: str) -> int:
    return int(Path(name).stem.split()[-1])


def _costs(watched: Watched, load_before: float) -> Row:
    workers = watched.children_mb
    return {
        "peak_mb": round(watched.own_mb, 1),
        **({"peak_mb_of_workers": [round(peak, 1) for peak in sorted(workers)]} if workers else {}),
        "cpu_s": round(watched.cpu_s, 1),
        "clock_s": round(watched.seconds, 1),
        "load_average_before": round(load_before, 1),
        "load_average_after": round(os.getloadavg()[0], 1),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _differences(found: Mapping[str, bytes], wanted: Mapping[str, bytes], way: str) -> Row:
    different = sum(found.get(name) != content for name, content in wanted.items())
    return {f"compared_with_{way}": len(wanted), f"different_from_{way}": different}


def _by_repetition(onsets: Sequence[Onset], n_repetitions: int) -> list[list[Onset]]:
    """Events of each repetition; times stay those of the recording."""
    parts: list[list[Onset]] = [[] for _ in range(n_repetitions)]
    for onset in onsets:
        parts[int(onset.time_s // PATTERN_S)].append(onset)
    return parts


def _counts(onsets: Sequence[Onset]) -> Counter[str]:
    return Counter(onset.label for onset in onsets)


def _largest_difference_ms(pairs: Sequence[tuple[Sequence[Onset], Sequence[Onset]]]) -> float:
    """How far times differ, after the start of their repetition, where counts agree."""
    largest_s = 0.0
    for found, wanted in pairs:
        for label, n in _counts(wanted).items():
            times_s = [_times_s(onsets, label) for onsets in (found, wanted)]
            if n and len(times_s[0]) == len(times_s[1]):
                largest_s = max(largest_s, float(np.abs(times_s[0] - times_s[1]).max()))
    return round(1e3 * largest_s, 3)


def _times_s(onsets: Sequence[Onset], label: str) -> NDArray[np.float64]:
    times_s = np.array(sorted(onset.time_s for onset in onsets if onset.label == label))
    start_s: float = PATTERN_S * (times_s[0] // PATTERN_S) if len(times_s) else 0.0
    return times_s - start_s


def _cpu_of_hour(
    progress: Sequence[tuple[int, float]], size: int, hour: int, hours: int
) -> float | None:
    """Processor time from one full hour of the recording to the next, between looks at it."""
    if not progress:
        return None
    positions, cpu_s = (np.array(column) for column in zip(*progress, strict=True))
    edges = np.array([hour, hour + 1]) * (size / hours)
    return round(float(np.diff(np.interp(edges, positions, cpu_s))[0]), 1)
