"""What several networks say together: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_log_odds(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Log-odds of the mean probability.

    A mean of points is again mass at points: an event that most members hear keeps more than half
    of its unit, and one that few hear loses it (`softloc.decoding`); of two members, one that is
    sure needs a little of the other. Deep ensembles are those of
    B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", NeurIPS 2017.

    Parameters
    ----------
    logits : sequence of ndarray of float32, all of one shape
        Log-odds that each network gives.

    Returns
    -------
    ndarray of float32
        Of that shape; as precise near 1 as near 0: both probabilities are added as logarithms.
    """
    if len(logits) == 1:
        return logits[0]
    zero = np.float32(0.0)
    event = [-np.logaddexp(zero, -rows) for rows in logits]
    no_event = [-np.logaddexp(zero, rows) for rows in logits]
    together: NDArray[np.float32] = np.logaddexp.reduce(event) - np.logaddexp.reduce(no_event)
    return together
