"""Where a mixture of likelihood ratios reaches 1/alpha: the edge of every mixture test, for arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 100
CLOSE = 1e-12


def edge(offsets: Any, slopes: Any, alpha: float) -> Floats:
    """The x at which ``log sum exp(offsets + slopes * x)`` is ``log(1/alpha)``.

    The sum is convex and rises with x, so Newton's method from any point where it is above the target comes down to
    the root without a miss; each component alone gives such a point.

    Args:
        offsets: log weight and what does not depend on x, shape (..., components); -inf leaves a component out.
        slopes: above 0, of a shape that broadcasts against ``offsets``.
        alpha: within (0, 1).

    Returns:
        Shape (...); may be negative.
    """
    target = -math.log(alpha)
    offsets, slopes = np.broadcast_arrays(np.asarray(offsets, float), np.asarray(slopes, float))
    x = np.min((target - offsets) / slopes, axis=-1)
    for _ in range(STEPS):
        terms = offsets + slopes * x[..., None]
        log_e = np.logaddexp.reduce(terms, axis=-1)
        if bool(np.all(log_e - target < CLOSE)):
            break
        gradient = np.sum(slopes * np.exp(terms - log_e[..., None]), axis=-1)
        x = x - np.maximum(0.0, log_e - target) / gradient
    return np.asarray(x)
