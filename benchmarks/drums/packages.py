"""Sounds inside Debian packages: fetched once by ``apt-get``, checked, unpacked.

Where a package has been fetched already, or by other means, its file in ``DIR`` is used.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from softloc.errors import SettingsError
from softloc.files import file_sha256


@dataclass(frozen=True)
class Package:
    """A Debian package that holds sounds, and whose they are.

    Attributes
    ----------
    name, version : str
        As in Debian's archive.
    sha256 : str
        Of the file.
    licence, author : str
        Of the sounds, as its ``copyright`` file states them.
    """

    name: str
    version: str
    sha256: str
    licence: str
    author: str

    @property
    def file_name(self) -> str:
        """Name of the package's file."""
        return f"{self.name}_{self.version}_all.deb"


FLUID_SOUNDFONT = Package(
    "fluid-soundfont-gm",
    "3.1-5.3",
    "6f531493ac4e4d9772fd96b2488ea1790af81c196135fbdd25997da0781fc60e",
    "MIT",
    "Frank Wen and contributors (Fluid R3)",
)
SECTOID_SONGS = Package(
    "fretsonfire-songs-sectoid",
    "1.dfsg-3.1",
    "14c1ed3e43c1a6a80eae7698f0469a0825cd1184e441968d62df89ca418aa0b4",
    "MIT",
    "Carlos Viola Iborra",
)
MULDJORD_SONGS = Package(
    "fretsonfire-songs-muldjord",
    "2.dfsg-2.1",
    "b37adf8b08b46d4182c283e760e4f40622d83674e05803960ea1e11a92600c7b",
    "CC-BY-SA-3.0",
    "El Senator (Muldjord)",
)


def ensure_package(package: Package, folder: Path) -> Path:
    """Fetch and unpack a package unless it is there; gives the folder of its files.

    Raises
    ------
    SettingsError
        If it cannot be fetched or unpacked, or is not the file that is expected.
    """
    unpacked = folder / package.name
    if unpacked.is_dir():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / package.file_name
    if not file.is_file():
        _run(["apt-get", "download", f"{package.name}={package.version}"], folder, package)
    if file_sha256(file) != package.sha256:
        raise SettingsError(f"{file} is not {package.name} {package.version}: its SHA-256 differs")
    partial = folder / f"{package.name}.partial"
    _run(["dpkg", "-x", file.name, partial.name], folder, package)
    return partial.rename(unpacked)


def _run(command: list[str], folder: Path, package: Package) -> None:
    try:
        subprocess.run(  # noqa: S603 - names of ours
            command, cwd=folder, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise SettingsError(
            f"{command[0]} failed: {str(reason).strip()}. Put {package.file_name} from Debian's "
            f"archive into {folder} by hand"
        ) from error
