"""Timing errors of matched pairs.

Conventions
-----------
- Estimate minus reference, in ms: positive is late.
- They are conditional on matching: an event that is farther off than the tolerance is a miss, and
  no part of them, so a bias near the tolerance is underestimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TimingError:
    """Signed error of matched pairs in ms, positive = late.

    Attributes
    ----------
    n_pairs : int
        Pairs it is taken from.
    bias_ms, median_ms, sigma_ms, mad_ms : float
        Mean, median, standard deviation, and median distance from the median.
    p05_ms, p95_ms : float
        5 % and 95 % quantiles.
    """

    n_pairs: int
    bias_ms: float
    median_ms: float
    sigma_ms: float
    mad_ms: float
    p05_ms: float
    p95_ms: float


def timing_error(errors_us: NDArray[np.int64]) -> TimingError | None:
    """Summarise signed errors.

    Parameters
    ----------
    errors_us : ndarray of int64, shape (n,)
        Estimate minus reference of each pair, microseconds.

    Returns
    -------
    TimingError or None
        None without pairs.
    """
    if not errors_us.size:
        return None
    errors_ms = errors_us / 1000
    median_ms = float(np.median(errors_ms))
    p05_ms, p95_ms = np.percentile(errors_ms, [5, 95])
    return TimingError(
        n_pairs=int(errors_ms.size),
        bias_ms=float(errors_ms.mean()),
        median_ms=median_ms,
        sigma_ms=float(errors_ms.std()),
        mad_ms=float(np.median(np.abs(errors_ms - median_ms))),
        p05_ms=float(p05_ms),
        p95_ms=float(p95_ms),
    )
