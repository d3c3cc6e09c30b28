"""The named sizes: which features and which network belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from softloc.errors import SettingsError
from softloc.features import FeatureSettings
from softloc.network import ConvStage, NetworkSettings
from softloc.vocabulary import nearest_hint


@dataclass(frozen=True, slots=True)
class Size:
    """Features and a network that belong together.

    Attributes
    ----------
    features : FeatureSettings
        What the network sees.
    shape : NetworkSettings
        The network, for one class.
    """

    features: FeatureSettings
    shape: NetworkSettings

    def network(self, n_classes: int, *, bidirectional: bool = False) -> NetworkSettings:
        """Shape a network of this size for so many classes."""
        delay_frames = 0 if bidirectional else self.shape.lstm_delay_frames
        return replace(
            self.shape,
            n_classes=n_classes,
            lstm_delay_frames=delay_frames,
            bidirectional=bidirectional,
        )


# Ten milliseconds from frame to frame are better than the paper's five in equal time
# (`benchmarks/README.md`).
SIZES: dict[str, Size] = {
    # 0.15 million multiplications a frame, 100 frames a second: for slow machines.
    "small": Size(
        FeatureSettings(n_bands=64),
        NetworkSettings(
            n_classes=1,
            n_bands=64,
            stages=(
                ConvStage(8, bands=5, stride=2),
                ConvStage(16, stride=2),
                ConvStage(24, stride=2),
                ConvStage(24),
                ConvStage(32, stride=2),
                ConvStage(48, bands=4, stride=4),
            ),
            lstm_units=32,
            dense_units=24,
            lstm_delay_frames=10,
        ),
    ),
    # The paper's drum network (Section 5.1.2 and its authors' code): 0.33 million, 200 a second.
    "paper": Size(
        FeatureSettings(
            hop_samples=220, window_samples=1102, fft_samples=4096, n_bands=72, max_hz=20_000.0
        ),
        NetworkSettings(
            n_classes=1,
            n_bands=72,
            stages=(
                ConvStage(8, bands=4, pool=2),
                ConvStage(16, bands=4, pool=2),
                ConvStage(16, bands=4, pool=2),
                ConvStage(16, bands=4, pool=2),
                ConvStage(16, bands=4, pool=3),
                ConvStage(16, bands=4, pool=3),
            ),
            lstm_units=24,
            dense_units=16,
            derivative_beside_bands=True,
            batch_norm=False,
            dense_sees_convolutions=False,
            sigmoid_dense=True,
        ),
    ),
    # 1.0 million, 100 a second: striding early along the bands buys more channels, and answering
    # 100 ms later tells hats from cymbals.
    "large": Size(
        FeatureSettings(),
        NetworkSettings(
            n_classes=1,
            n_bands=FeatureSettings().n_bands,
            stages=(
                ConvStage(16, bands=5, stride=2),
                ConvStage(32, stride=2),
                ConvStage(64, stride=2),
                ConvStage(64),
                ConvStage(64, stride=2),
                ConvStage(96, bands=5, stride=5),
            ),
            lstm_units=96,
            dense_units=48,
            dropout=0.1,
            lstm_delay_frames=10,
        ),
    ),
}


def get_size(name: str) -> Size:
    """Look a size up by name.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    try:
        return SIZES[name]
    except KeyError:
        raise SettingsError(f"unknown size {name!r}{nearest_hint(name, SIZES)}") from None


def register_size(name: str, size: Size) -> None:
    """Add a size of one's own, or change one, for this process: experiments name it in settings."""
    SIZES[name] = size
