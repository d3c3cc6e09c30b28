"""How reports are made: sizes and limits."""

from __future__ import annotations

from dataclasses import dataclass

from softloc.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """How much a page holds.

    Attributes
    ----------
    max_audio_bytes : int
        Encoded audio in a page; in base64 it takes a third more. Longer recordings are encoded
        more coarsely, and left out if even that does not fit.
    part_s : float
        Audio is embedded in independent parts of this length, seconds, so that a browser never
        decodes more than it plays.
    max_waveform_bins : int
        Most pairs of minimum and maximum that draw the waveform.
    max_spectrogram_frames : int
        Most columns of the mel-spectrogram.
    n_bands : int
        Its rows.

    Raises
    ------
    SettingsError
        If one of them is not positive.
    """

    max_audio_bytes: int = 17_000_000
    part_s: float = 20.0
    max_waveform_bins: int = 600_000
    max_spectrogram_frames: int = 60_000
    n_bands: int = 64

    def __post_init__(self) -> None:
        for name in ("max_audio_bytes", "part_s", "max_waveform_bins", "max_spectrogram_frames"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be positive, not {getattr(self, name)}")
        if self.n_bands < 1:
            raise SettingsError(f"a spectrogram needs at least one band, not {self.n_bands}")
