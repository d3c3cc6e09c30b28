"""Writing is all or nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from softloc.errors import OutputError
from softloc.files import (
    atomic_path,
    remove_abandoned,
    remove_unfinished,
    sha256_of_files,
    to_json,
    unfinished_as,
    write_text_atomic,
)


def write_half(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("new, half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_other(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.csv", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.csv") as temporary:
        (tmp_path / "keep.csv").touch()
        remove_unfinished(tmp_path, os.getpid() * 10 + 1)  # a process whose number starts alike
        assert temporary.exists()
        left = temporary.with_name(f"{temporary.stem}x.csv")
        left.touch()
        remove_unfinished(tmp_path, os.getpid())
        assert [path.name for path in tmp_path.iterdir()] == ["keep.csv"]
        temporary.touch()
    remove_unfinished(tmp_path / "nowhere", 1)


def test_what_a_task_left_goes_by_its_name(tmp_path: Path) -> None:
    """On several machines the numbers of processes are not unique."""
    with unfinished_as("abc.1"), atomic_path(tmp_path / "a.csv") as temporary:
        remove_unfinished(tmp_path, "abc.11")
        remove_unfinished(tmp_path, os.getpid())
        assert temporary.exists()
        remove_unfinished(tmp_path, "abc.1")
        assert list(tmp_path.iterdir()) == []
        temporary.touch()
    with atomic_path(tmp_path / "b.csv") as temporary:
        remove_unfinished(tmp_path, "abc.1")
        assert temporary.exists()


def test_text_is_written_as_it_is_into_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "söng 1.csv"
    write_text_atomic(path, "ä\nb\n")
    assert path.read_bytes() == "ä\nb\n".encode()


def test_file_has_the_usual_permissions(tmp_path: Path) -> None:
    path, plain = tmp_path / "a.txt", tmp_path / "b.txt"
    write_text_atomic(path, "a")
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_suffix_survives_in_the_temporary_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.flac") as temporary:
        assert temporary.suffix == ".flac"
        assert temporary.parent == tmp_path


def test_impossible_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*a\.csv"):
        write_text_atomic(tmp_path / "file" / "a.csv", "")


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot replace a file by a folder anyway")
def test_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a.csv: it is a folder"):
        write_text_atomic(tmp_path / "a.csv", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
@pytest.mark.parametrize("exists", [True, False])
def test_link_is_written_through(exists: bool, tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "a.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    link.symlink_to(target)
    write_text_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "link.csv", "real"]


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_pipe_is_written_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text_atomic(path, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert path.is_fifo()


@pytest.mark.skipif(os.name != "posix", reason="/dev/fd")
def test_standard_output_is_written_and_stays(tmp_path: Path) -> None:
    # Not /dev/stdout itself: root could replace it, and then a failure would harm the machine.
    program = (
        "from pathlib import Path; from softloc.files import write_text_atomic\n"
        "write_text_atomic(Path('/dev/fd/1'), 'text')"
    )
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert piped.stdout == b"text"
    with (tmp_path / "out").open("wb") as file:
        inode = os.fstat(file.fileno()).st_ino
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert (tmp_path / "out").read_bytes() == b"text"
    assert (tmp_path / "out").stat().st_ino == inode


@pytest.mark.skipif(os.name != "posix", reason="Windows has shorter paths")
def test_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".csv")
    write_text_atomic(path, "text")
    assert path.read_text() == "text"


def test_hash_of_one_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_files(tmp_path, ["a"]) == hashlib.sha256(b"abc").hexdigest()


def test_hash_of_several_knows_names_but_no_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "c").write_bytes(b"2")
    both = sha256_of_files(tmp_path, ["a", "b"])
    assert both == sha256_of_files(tmp_path, ["b", "a"])
    assert both != sha256_of_files(tmp_path, ["a", "c"])


posix = pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")


def leave_unfinished(folder: Path) -> Path:
    """Begin to write a file in a process that is killed at it."""
    program = (
        "import os, signal, sys; from pathlib import Path; from softloc.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as half:\n"
        "    half.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    before = set(folder.iterdir())
    subprocess.run([sys.executable, "-c", program, str(folder / "a.csv")], check=False)
    (left,) = set(folder.iterdir()) - before
    return left


@posix
def test_next_process_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """It makes no difference whether the number of the dead process is taken again."""
    left = leave_unfinished(tmp_path)
    mine = left.with_name(left.name.replace(left.name.split("-")[1], str(os.getpid())))
    mine.write_text("half")
    others = [tmp_path / name for name in (".softloc-1-ab.csv", ".hidden.csv", "b.csv")]
    for other in others:
        other.touch()
    remove_abandoned.cache_clear()
    write_text_atomic(tmp_path / "a.csv", "new")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "a.csv"])


@posix
def test_folders_are_searched_once_in_a_process(tmp_path: Path) -> None:
    """Else a batch of n files into one folder would look at n² names."""
    write_text_atomic(tmp_path / "a.csv", "a")
    left = leave_unfinished(tmp_path)
    write_text_atomic(tmp_path / "b.csv", "b")
    assert left.exists()


@posix
def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from softloc.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as half:\n"
        "    half.write_text('whole')\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()"
    )
    path = tmp_path / "a.csv"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (half,) = tmp_path.iterdir()
        remove_abandoned.cache_clear()
        remove_abandoned(tmp_path)
        assert half.exists()
        process.communicate()
    assert process.returncode == 0
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "whole")]


@posix
@pytest.mark.parametrize(("age_s", "stays"), [(3_600.0, True), (200_000.0, False)])
def test_what_another_machine_left_stays_for_a_day(
    age_s: float, stays: bool, tmp_path: Path
) -> None:
    """Its locks may not be seen here."""
    left = leave_unfinished(tmp_path)
    owner, machine, rest = left.name.removeprefix(".softloc-").split("-")
    other = f"{int(machine, 16) ^ 1:08x}"
    far = left.rename(left.with_name(f".softloc-{owner}-{other}-{rest}"))
    then_s = time.time() - age_s
    os.utime(far, (then_s, then_s))
    remove_abandoned.cache_clear()
    remove_abandoned(tmp_path)
    assert far.exists() == stays


@posix
def test_file_that_vanishes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look between the two."""
    make = tempfile.mkstemp
    made: list[str] = []

    def make_and_lose(**options: Any) -> tuple[int, str]:
        handle, name = make(**options)
        if not made:
            remove_abandoned.cache_clear()
            remove_abandoned(tmp_path)
        made.append(name)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", make_and_lose)
    write_text_atomic(tmp_path / "a.csv", "new")
    assert len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_permissions_of_an_old_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for mode in (0o600, 0o640, 0o755):
        path.touch()
        path.chmod(mode)
        write_text_atomic(path, "new")
        assert path.stat().st_mode & 0o777 == mode
        path.unlink()


def test_json_has_no_infinities() -> None:
    value = {"a": (math.inf, -math.inf, math.nan), "b": [{"c": 1.5}], "d": None, "e": True}
    assert json.loads(to_json(value), parse_constant=pytest.fail) == {
        "a": ["inf", "-inf", None], "b": [{"c": 1.5}], "d": None, "e": True
    }  # fmt: skip
