"""What can go wrong, as types.

The library raises these and knows nothing of terminals; ``softloc_cli.console`` turns each of
them into one sentence on stderr and an exit code. A message names the file, the line or value,
and the likely cause.
"""

_MAX_LINE_CHARACTERS = 2_000


def printable(text: str) -> str:
    """Text with control characters as escapes, and without most of very long lines.

    Some characters would make two lines of a sentence; a file may bring thousands of them along.
    """
    longest = _MAX_LINE_CHARACTERS
    lines = escaped(text).split("\n")
    return "\n".join(line if len(line) <= longest else f"{line[: longest - 1]}…" for line in lines)


def escaped(text: str) -> str:
    """Text with control characters, which a terminal would obey, as escapes; line ends stay."""
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )


class SoftLocError(Exception):
    """Base of every error that softloc raises on purpose; its message can be printed as it is."""

    def __str__(self) -> str:
        return printable(super().__str__())


class AudioError(SoftLocError):
    """A recording cannot be read, or what it holds cannot be used."""


class AnnotationError(SoftLocError):
    """A file of events or labels cannot be read, or its content makes no sense."""


class CheckpointError(SoftLocError):
    """A model or a training state is missing, damaged, or from a newer format."""


class SettingsError(SoftLocError):
    """A setting has a value that cannot be used, or two settings contradict each other."""


class TrainingError(SoftLocError):
    """A training cannot go on: its loss is no longer a number."""


class OutputError(SoftLocError):
    """A result cannot be written where it was asked to go."""
