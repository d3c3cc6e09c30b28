"""The command ``softloc``: parse, call the library, print.

Nothing here knows about sound or labels; every command is one file and a few calls into `softloc`.
Slow packages are imported inside the commands, so that ``--help`` answers at once.
"""

from softloc.versions import installed_version

__version__ = installed_version("softloc")
