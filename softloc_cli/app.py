"""The Typer application: each command from its own file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from softloc_cli import __version__
from softloc_cli.config import LazySettings, commands_of, config
from softloc_cli.console import EXIT_CODES_HELP, ExitCode, report, silence
from softloc_cli.convert import convert
from softloc_cli.doctor import doctor
from softloc_cli.evaluate import evaluate
from softloc_cli.listen import listen
from softloc_cli.models import models
from softloc_cli.perturb import perturb
from softloc_cli.train import train
from softloc_cli.train_processes import leave_team
from softloc_cli.transcribe import transcribe

app = typer.Typer(
    name="softloc",
    help="Point events from audio, trained through sloppy labels.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # joins the lines of a docstring
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (transcribe, listen, train, evaluate, perturb, convert, doctor):
    app.command(epilog=EXIT_CODES_HELP)(_command)
app.add_typer(models, name="models")
app.add_typer(config, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"softloc {__version__}")
        raise typer.Exit


@app.callback()
def _softloc(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings, as TOML.")
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback has used it
        bool,
        typer.Option(
            "-V", "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Point events from audio, trained through sloppy labels."""
    context.default_map = LazySettings(commands_of(context.command), config)


def _open_closed_streams() -> None:
    """Put something in the place of standard streams that the parent has closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def main() -> None:
    """Run the command line."""
    # On a busy machine threads that spin while they wait cost a hundred times what they save;
    # OpenMP reads this when torch is imported, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _open_closed_streams()
    # As stderr does it: a name that is no UTF-8 must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as ended:
        leave_team(ended.code)
        raise
    except OSError as error:  # of the help, or the version; commands tell their own
        report(f"error: cannot write to standard output: {error.strerror}")
        silence(sys.stdout)
        sys.exit(ExitCode.FAILED)
