"""What can go wrong, as types.

The library raises these and knows nothing of terminals; ``softloc_cli.console`` turns each of
them into one sentence on stderr and an exit code. A message names the file, the line or value,
and the likely cause.
"""


class SoftLocError(Exception):
    """Base of every error that softloc raises on purpose."""


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
