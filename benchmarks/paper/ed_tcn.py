"""ED-TCN, the encoder-decoder of temporal convolutions of Lea et al. (CVPR 2017).

Layers, sizes, normalisation, dropout and initialisation are those of the authors' code
(github.com/colincsl/TemporalConvolutionalNetworks). Theirs pads every video to the longest one
and lets what the padding gives rise to leak back into the video; here the padding stays zero in
every layer, so that a prediction depends on nothing but its own video.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

_DROPOUT = 0.3
_SMALLEST_PEAK = 1e-5


class EdTcn(nn.Module):
    """Two halvings and two doublings of time, convolutions in between.

    Parameters
    ----------
    n_features, n_classes : int
    length_steps : int
        Length of each convolution. Even ones look one step farther ahead than back.
    widths : sequence of int
        Channels of the encoder's layers, outermost first; the decoder mirrors them.
    """

    def __init__(
        self, n_features: int, n_classes: int, length_steps: int, widths: tuple[int, ...] = (64, 96)
    ) -> None:
        super().__init__()
        sizes = [n_features, *widths, *reversed(widths)]
        self.n_halvings = len(widths)
        self.layers = nn.ModuleList(
            nn.Conv1d(size, wider, length_steps, padding="same") for size, wider in pairwise(sizes)
        )
        self.output = nn.Conv1d(sizes[-1], n_classes, 1)
        for module in [*self.layers, self.output]:
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return the logits of all classes, which a softmax turns into probabilities.

        Parameters
        ----------
        features : Tensor [shape=(batch, n_features, steps)]
            Any number of steps; what lies outside of the mask is ignored.
        mask : Tensor of bool [shape=(batch, 1, steps)]
            True inside each video, which begins at step 0.

        Returns
        -------
        Tensor [shape=(batch, n_classes, steps)]
        """
        n_steps = features.shape[-1]
        spare = -n_steps % 2**self.n_halvings
        signal = functional.pad(features * mask, (0, spare))
        masks = [functional.pad(mask, (0, spare))]
        for layer in self.layers[: self.n_halvings]:
            signal = functional.max_pool1d(self._convolve(layer, signal, masks[-1]), 2)
            # A step that is half inside counts: the maximum of it and of zero is its own.
            masks.append(masks[-1][..., ::2])
        for layer in self.layers[self.n_halvings :]:
            masks.pop()
            signal = self._convolve(layer, signal.repeat_interleave(2, dim=-1), masks[-1])
        logits: Tensor = self.output(signal)[..., :n_steps]
        return logits

    def _convolve(self, layer: nn.Module, signal: Tensor, mask: Tensor) -> Tensor:
        """Convolve, drop whole channels, rectify, and divide each step by its largest channel."""
        dropped = functional.dropout1d(layer(signal), _DROPOUT, self.training)
        rectified = functional.relu(dropped) * mask
        return rectified / (rectified.amax(1, keepdim=True) + _SMALLEST_PEAK)
