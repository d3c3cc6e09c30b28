"""``softloc listen``: events of what is being played, while it is played."""

from __future__ import annotations

import contextlib
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softloc.errors import SettingsError
from softloc.vocabulary import parse_note_map
from softloc_cli.config import use_settings
from softloc_cli.console import report, user_errors

if TYPE_CHECKING:
    from softloc.events import Onset
    from softloc.live import MidiSender, Performance, Player


class LineFormat(StrEnum):
    """What is printed of an event."""

    TSV = "tsv"
    JSON = "json"


def listen(
    *,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Play a recording instead of a microphone."),
    ] = None,
    as_fast_as_possible: Annotated[
        bool,
        typer.Option("--as-fast-as-possible", help="Do not wait for the time of the recording."),
    ] = False,
    input_device: Annotated[
        str | None,
        typer.Option("--input", metavar="NAME|N", help="Sound input; a wrong one lists them."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Stop after so much audio.", min=0.0)
    ] = None,
    line_format: Annotated[
        LineFormat,
        typer.Option("-f", "--format", help="Lines on stdout: time and label, or JSON."),
    ] = LineFormat.TSV,
    midi_port: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Send to a MIDI port, too; a wrong one lists them."),
    ] = None,
    virtual_port: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make a MIDI port of this name (Linux, macOS)."),
    ] = None,
    note_map: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="MIDI notes: gm, roland-td, adtof5, a file, or pairs such as KD=35,TT=47.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("-m", "--model", metavar="NAME|PATH", help="Shipped or own model.")
    ] = "drums",
    device: Annotated[
        str, typer.Option("-d", "--device", help="auto, cpu, cuda[:N] or mps.")
    ] = "auto",
    config: Annotated[  # noqa: ARG001 - its callback has used it
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings, as TOML (see softloc config show --help).",
            is_eager=True,
            callback=use_settings,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
) -> None:
    """Tell the hits of a microphone, or of a recording as it is played, as soon as they are final.

    That takes about a third of a second; the exact figures, and what was measured, come at the end
    on stderr. Ctrl-C ends it. Microphones and MIDI ports need softloc with its extra `live`.
    """
    with user_errors(), contextlib.ExitStack() as stack:
        if source is None and as_fast_as_possible:
            raise SettingsError("--as-fast-as-possible needs a recording: --from FILE")
        if source is not None and input_device is not None:
            raise SettingsError("--from and --input contradict each other")
        if source is not None and not source.exists():
            raise SettingsError(f"{source}: no such recording")
        if midi_port is not None and virtual_port is not None:
            raise SettingsError("--midi-port and --virtual-port contradict each other")
        from softloc import live
        from softloc.pipeline import load

        sender: MidiSender | None = None
        if (port := midi_port or virtual_port) is not None:
            notes = {} if note_map is None else parse_note_map(note_map)
            sender = live.MidiSender(port, notes, virtual=virtual_port is not None)
            stack.callback(sender.close)
        transcriber = load(model, device, n_threads=1)
        player: Player = (
            live.Microphone(input_device)
            if source is None
            else live.FilePlayer(source, real_time=not as_fast_as_possible)
        )

        def tell(onset: Onset) -> None:
            if sender is not None:
                sender.tell(onset)
            typer.echo(_line(onset, line_format))  # flushes

        tick = (lambda: None) if sender is None else sender.tick
        done = live.listen(transcriber, player, tell, tick=tick, seconds=seconds)
        if not quiet:
            _summarise(done)


def _line(onset: Onset, line_format: LineFormat) -> str:
    if line_format is LineFormat.TSV:
        return f"{onset.time_s:.6f}\t{onset.label}"
    fields = ("time_s", "label", "midi_note", "velocity", "confidence", "time_std_s")
    values = {name: getattr(onset, name) for name in fields}
    return json.dumps({name: value for name, value in values.items() if value is not None})


def _summarise(done: Performance) -> None:
    latency = done.latency
    report(
        f"{done.n_events} events in {done.audio_s:.1f} s; {done.cpu_share:.1%} of one core; "
        f"latency by design {latency.typical_ms:.0f} ms, at most {latency.longest_ms:.0f} ms"
    )
    figures = [done.delay_ms(share) for share in (0.5, 0.95, 1.0)]
    if None not in figures:
        median, most, longest = figures
        report(f"measured: median {median:.0f} ms, 95 % within {most:.0f} ms, all {longest:.0f} ms")
    if done.n_overruns:
        report(f"warning: {done.n_overruns} blocks were lost: this machine is too slow or too busy")
