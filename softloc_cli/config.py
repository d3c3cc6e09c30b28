"""Settings beside the command line, and ``softloc config show``.

Conventions
-----------
- An option counts from the first place that gives it: the command line, ``SOFTLOC_<OPTION>`` in the
  environment, the file of ``--config`` or ``SOFTLOC_CONFIG``, ``softloc.toml`` or else
  ``[tool.softloc]`` of ``pyproject.toml`` in the current folder, the user's ``config.toml``, the
  default.
- In a file ``[transcribe]`` holds options of that command, named as on the command line without
  dashes in front; what stands above all tables is for every command that has such an option.
- A list is written with commas on the command line. Paths are relative to the current folder.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from softloc.errors import SettingsError
from softloc.files import read_settings_file
from softloc.vocabulary import nearest_hint
from softloc_cli.console import EXIT_CODES_HELP, user_errors

DEFAULT_ORIGIN = "default"

_PREFIX = "SOFTLOC_"
#: Variables that are no options: the file itself, and where things lie.
_RESERVED = ("config", "cache", "data")
_UNSETTABLE = ("help", "version", "config", "install-completion", "show-completion")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

config = typer.Typer(
    help="Show settings and where they come from.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True)
class Option:
    """What of an option matters here.

    Attributes
    ----------
    parameter : str
        What the command's function calls it.
    is_flag : bool
        It is given or not, without a value.
    is_multiple : bool
        It can be repeated.
    default : object
        Its value where nothing is set.
    """

    parameter: str
    is_flag: bool
    is_multiple: bool
    default: object


Options = Mapping[str, Option]
Commands = Mapping[str, Options]


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, as the command line would give it, and where it was found."""

    value: object
    origin: str


class LazySettings(dict[str, Any]):
    """What Typer looks defaults up in, for a command or for its help.

    The files are read when it does, so that they cannot stop ``softloc --help``.

    Parameters
    ----------
    commands : mapping
        As from `commands_of`.
    path : Path or None
        File of ``--config``.
    command : str or None
        Whose settings; None gives those of each command in turn.
    """

    def __init__(self, commands: Commands, path: Path | None, command: str | None = None) -> None:
        super().__init__()
        self._commands, self._path, self._command = commands, path, command
        self._values: dict[str, object] | None = None

    def get(self, key: str, default: Any = None) -> Any:
        """Look up a command, or an option of one by its parameter."""
        if self._command is None:
            return LazySettings(self._commands, self._path, key)
        if self._command not in self._commands:  # a group of commands, which has no settings
            return default
        if self._values is None:
            options = self._commands[self._command]
            with user_errors():
                settings = resolve(self._commands, self._command, self._path)
            self._values = {
                options[name].parameter: setting.value
                for name, setting in settings.items()
                if setting.origin != DEFAULT_ORIGIN
            }
        return self._values.get(key, default)


def use_settings(context: typer.Context, path: Path | None) -> Path | None:
    """Take the settings of one command from the file that its own ``--config`` names."""
    if path is not None:
        context.default_map = LazySettings(
            commands_of(context.find_root().command), path, context.info_name
        )
    return path


def is_given(context: typer.Context, parameter: str) -> bool:
    """Whether a parameter of a command stands on the command line."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def prefer_given(context: typer.Context, **flags: bool) -> tuple[bool, ...]:
    """Of flags that contradict each other, let those on the command line win over the set ones."""
    given = {name for name in flags if is_given(context, name)}
    return tuple(value and (not given or name in given) for name, value in flags.items())


@config.command(epilog=EXIT_CODES_HELP)
def show(
    context: typer.Context,
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="Only settings of this command.")
    ] = None,
    *,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each setting comes from.")
    ] = False,
) -> None:
    """Print all settings, as a softloc.toml would hold them.

    An option counts from the first place that gives it: the command line, SOFTLOC_OPTION in the
    environment, the file of --config or SOFTLOC_CONFIG, softloc.toml or else [tool.softloc] of
    pyproject.toml in the current folder, the user's config.toml, the default.
    """
    with user_errors():
        root = context.find_root()
        commands = commands_of(root.command)
        if command is not None and command not in commands:
            raise SettingsError(f"unknown command {command!r}{nearest_hint(command, commands)}")
        for name in commands if command is None else (command,):
            typer.echo(f"[{name}]")
            for key, setting in resolve(commands, name, root.params.get("config")).items():
                line = f"{key} = {_as_toml(setting.value)}"
                note = f"  # {setting.origin}" if origin else ""
                typer.echo(f"# {key} is not set" if setting.value is None else line + note)


def commands_of(program: Any) -> Commands:
    """Options of each command of a program, by their names without dashes."""
    commands: Mapping[str, Any] = program.commands
    return {
        name: dict(_options_of(command))
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }


def resolve(
    commands: Commands,
    command: str,
    path: Path | None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Settle the options of a command from all places but the command line.

    Parameters
    ----------
    commands : mapping
        As from `commands_of`.
    command : str
        One of them.
    path : Path or None
        File of ``--config``.
    environment : mapping
        Variables.

    Returns
    -------
    dict
        A setting for each option.

    Raises
    ------
    SettingsError
        If a file cannot be read, has an unknown key, or a value that no option takes.
    """
    options = commands.get(command, {})
    settings = {name: Setting(option.default, DEFAULT_ORIGIN) for name, option in options.items()}
    for origin, table in _files(path, environment):
        _refuse_unknown(table, commands, origin)
        common = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
        for key, value in (*common.items(), *table.get(command, {}).items()):
            name = _option_name(key)
            if name in options:
                settings[name] = Setting(_convert(value, options[name], f"{origin}: {key}"), origin)
    for name, option in options.items():
        variable = _PREFIX + name.replace("-", "_").upper()
        text = environment.get(variable)
        if text is not None and name not in _RESERVED:
            settings[name] = Setting(_convert_text(text, option, variable), variable)
    return settings


def _options_of(command: Any) -> Iterator[tuple[str, Option]]:
    for parameter in command.params:
        names = [name.removeprefix("--") for name in parameter.opts if name.startswith("--")]
        if not names or names[0] in _UNSETTABLE:
            continue
        is_flag, is_multiple = bool(parameter.is_flag), bool(parameter.multiple)
        yield names[0], Option(parameter.name, is_flag, is_multiple, parameter.default)


def _files(
    path: Path | None, environment: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the settings of each file that is there; later ones count more."""
    import platformdirs

    user = platformdirs.user_config_path("softloc") / "config.toml"
    if user.is_file():
        yield str(user), _read(user)
    local, project = Path("softloc.toml"), Path("pyproject.toml")
    if local.is_file():
        yield str(local), _read(local)
    elif project.is_file():
        table = _project_table(project)
        if table:
            yield f"{project} [tool.softloc]", table
    chosen = path or environment.get(f"{_PREFIX}CONFIG")
    if chosen:
        yield str(chosen), _read(Path(chosen))


def _project_table(project: Path) -> Mapping[str, Any]:
    """Take the settings from a ``pyproject.toml``, which other tools may have made."""
    table: object = _read(project)
    for name in ("tool", "softloc"):
        table = table.get(name, {}) if isinstance(table, Mapping) else {}
    if not isinstance(table, Mapping):
        raise SettingsError(f"{project}: tool.softloc is {table!r}, but has to be a table")
    return table


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_settings_file(path))
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file of settings") from error
    except (OSError, ValueError, RecursionError) as error:  # numbers and nesting without end, too
        raise SettingsError(f"{path}: settings cannot be read ({error})") from error


def _refuse_unknown(table: Mapping[str, Any], commands: Commands, origin: str) -> None:
    everywhere = {name for options in commands.values() for name in options}
    for key, value in table.items():
        if not isinstance(value, Mapping):
            known: set[str] = everywhere
        elif key not in commands:
            raise SettingsError(f"{origin}: unknown table [{key}]{nearest_hint(key, commands)}")
        else:
            known = set(commands[key])
            for name in value:
                _refuse_key(name, known, f"{origin} [{key}]")
            continue
        _refuse_key(key, known, origin)


def _refuse_key(key: str, known: set[str], where: str) -> None:
    if _option_name(key) not in known:
        raise SettingsError(
            f"{where}: unknown setting {key!r}{nearest_hint(_option_name(key), sorted(known))}"
        )


def _option_name(key: str) -> str:
    return key.replace("_", "-")


def _convert(value: object, option: Option, where: str) -> object:
    """Value of a file as the command line would give it."""
    values = value if isinstance(value, list) else [value]
    if option.is_flag and not isinstance(value, bool):
        raise SettingsError(f"{where}: must be true or false, not {value!r}")
    if option.is_flag:
        return value
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in values):
        raise SettingsError(f"{where}: must be a text, a number or a list of them, not {value!r}")
    if isinstance(option.default, int | float) and isinstance(value, int | float):
        return value
    texts = [str(item) for item in values]
    if any("\0" in text for text in texts):
        raise SettingsError(f"{where}: holds a NUL character, which no text or name may")
    return texts if option.is_multiple else ",".join(texts)


def _convert_text(text: str, option: Option, variable: str) -> object:
    if not option.is_flag:
        return [text] if option.is_multiple else text
    if text.lower() not in (*_YES, *_NO, ""):
        raise SettingsError(f"{variable}: must be 1 or 0, not {text!r}")
    return text.lower() in _YES


def _as_toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))
