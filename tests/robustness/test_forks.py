"""Commands in forks end as they do in processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.robustness.forks import ForkedCommand

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[list[str]]:
    """A command that waits for a list that never comes; Ctrl-C is ignored around it."""
    fifo = tmp_path / "list"
    os.mkfifo(fifo)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield ["transcribe", "--files-from", str(fifo), "-q"]
    signal.signal(signal.SIGINT, before)


def test_exit_code_and_words(tmp_path: Path) -> None:
    arguments = ["convert", str(tmp_path / "none.csv"), "-f", "csv"]
    with ForkedCommand(arguments, (), None) as command:
        _, said = command.communicate(60.0)
    assert command.returncode == 2
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGKILL, -signal.SIGKILL, "")],
)
def test_signals_reach_it_and_its_session(
    waiting: list[str], number: signal.Signals, code: int, words: str
) -> None:
    with ForkedCommand(waiting, (), None) as command:
        with pytest.raises(TimeoutError):
            command.communicate(0.5)
        os.killpg(command.pid, number)
        _, said = command.communicate(60.0)
    assert (command.returncode, said.strip()) == (code, words)


def test_a_full_disk_is_met(tmp_path: Path) -> None:
    labels = tmp_path / "a.csv"
    labels.write_text("".join(f"{number}.0,KD\n" for number in range(900)))
    arguments = ["convert", str(labels), "-f", "csv", "-o", str(tmp_path / "b.csv")]
    with ForkedCommand(arguments, (), 600) as command:
        _, said = command.communicate(60.0)
    assert command.returncode == 1
    assert "cannot write" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
