"""Errors become one sentence and an exit code; help costs nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from softloc.errors import (
    AnnotationError,
    AudioError,
    CheckpointError,
    OutputError,
    SettingsError,
)
from softloc.events import Corpus
from softloc_cli.console import (
    ExitCode,
    collect_warnings,
    draws_bar,
    progress,
    report,
    report_skipped,
    user_errors,
)

SLOW = ("torch", "librosa", "mir_eval", "soundfile", "pretty_midi", "scipy")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AnnotationError("bad label"), 2),
        (SettingsError("bad setting"), 2),
        (FileNotFoundError("nothing there"), 2),
        (AudioError("bad sound"), 1),
        (CheckpointError("bad model"), 1),
        (OutputError("disk full"), 1),
        (PermissionError("not yours"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_errors_have_exit_codes(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, user_errors():
        raise error
    assert caught.value.exit_code == code
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert str(error) in stderr
    assert len(stderr.splitlines()) <= 1


@pytest.mark.parametrize(("name", "code"), [("missing", 2), ("x" * 300, 1)])
def test_what_the_system_says_of_a_file_begins_with_its_name(
    name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, user_errors():
        (tmp_path / name).stat()
    assert caught.value.exit_code == code
    stderr = capsys.readouterr().err
    assert stderr.startswith(f"error: {tmp_path / name}: ")
    assert "Errno" not in stderr


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a\nb", "error: 2 problems:\n  a\n  b\n"),
        ("a\nb\n… and 40 more", "error: 42 problems:\n  a\n  b\n  … and 40 more\n"),
    ],
)
@pytest.mark.parametrize("kind", [AnnotationError, AudioError])
def test_several_problems_are_a_list(
    kind: type[Exception], message: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), user_errors():
        raise kind(message)
    assert capsys.readouterr().err == shown


def test_skipped_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("labels")
    report_skipped(Corpus(folder, "folder", folder, {}))
    assert capsys.readouterr().err == ""
    report_skipped(Corpus(folder, "folder", folder, {}, tuple(f"{i}.txt" for i in range(22))))
    stderr = capsys.readouterr().err
    assert stderr.startswith("labels: skipped, no label files: 0.txt, 1.txt")
    assert stderr.endswith("19.txt and 2 more\n")


def test_unforeseen_error_shows_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, user_errors():
        raise ZeroDivisionError("oops")
    assert caught.value.exit_code == ExitCode.FAILED
    stderr = capsys.readouterr().err
    assert "Traceback" in stderr
    assert "softloc failed in a way it did not foresee (ZeroDivisionError: oops)" in stderr


def test_exits_pass_through() -> None:
    with pytest.raises(typer.Exit) as caught, user_errors():
        raise typer.Exit(ExitCode.THRESHOLD)
    assert caught.value.exit_code == 4


def test_warnings_of_the_library_are_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with user_errors():
        logging.getLogger("softloc.formats").warning("two labels %s", "repeat")
    assert capsys.readouterr().err == "warning: two labels repeat\n"
    logging.getLogger("softloc.formats").warning("outside")
    assert capsys.readouterr().err == ""


def test_no_bar_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 2) as advance:
        advance()
        advance()
    assert capsys.readouterr() == ("", "")


def test_what_is_said_stands_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert not draws_bar()
    monkeypatch.setenv("TERM", "xterm")
    with progress("reading", 2) as advance:
        advance()
        report("a remark")
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "\x1b[2Ka remark\n" in stderr, "the line of the bar is cleared first"


def test_warnings_are_collected_instead_of_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with user_errors():
        with collect_warnings() as warnings:
            logging.getLogger("softloc.audio").warning("odd %s", "header")
            logging.getLogger("softloc.audio").info("nothing")
        logging.getLogger("softloc.audio").warning("after")
    assert warnings == ["odd header"]
    assert capsys.readouterr().err == "warning: after\n"


def softloc(*arguments: str, after: str = "") -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.argv[0] = 'softloc'\n"
        f"try:\n    from softloc_cli.app import main; main()\nfinally:\n    {after or 'pass'}"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [("--help",), ("evaluate", "-h"), ("perturb", "-h")])
def test_help_is_quick_and_names_the_exit_codes(arguments: tuple[str, ...]) -> None:
    seen = "print('LOADED', *sys.modules, file=sys.stderr)"
    result = softloc(*arguments, after=seen)
    assert result.returncode == 0
    assert "Exit codes" in result.stdout
    loaded = set(result.stderr.split("LOADED")[1].split())
    assert loaded.isdisjoint(SLOW)


def test_version() -> None:
    result = softloc("-V")
    assert (result.returncode, result.stdout.split()[0]) == (0, "softloc")


def test_reader_that_goes_away() -> None:
    command = (
        f'{sys.executable} -c "import sys; from softloc_cli.console import user_errors\n'
        "import typer\n"
        "def f():\n"
        "    with user_errors():\n"
        "        [print(i) for i in range(100000)]\n"
        'typer.run(f)" | head -n 1; echo ${PIPESTATUS[0]}'
    )
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["0", "141"]
    assert result.stderr == ""


def in_shell(*arguments: object, shell: str) -> subprocess.CompletedProcess[str]:
    """Run the command with its streams as the shell leaves them."""
    command = [sys.executable, "-m", "softloc_cli", *map(str, arguments)]
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_messages_that_nobody_can_read_stop_nothing(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("time_s,label\n0.5,KD\n")
    for number, shell in enumerate(("2> /dev/full", "2>&-", ">&- 2>&- <&-", "2>&1 | true")):
        out = tmp_path / f"out{number}"
        in_shell("convert", tmp_path / "a.csv", tmp_path / "b.csv", "-f", "tsv", "-o", out,
                shell=shell)  # fmt: skip
        assert sorted(path.name for path in out.iterdir()) == ["a.tsv", "b.tsv"], shell


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_on_a_full_disk_is_one_sentence(option: str) -> None:
    done = in_shell(option, shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: cannot write to standard output: No space left on device"
    ]
