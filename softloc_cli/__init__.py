"""The command ``softloc``: parse, call the library, print.

Nothing here knows about sound or labels; every command is one file and a few calls into `softloc`.
Slow packages are imported inside the commands, so that ``--help`` answers at once.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("softloc")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "unknown"
