"""Read-outs beside the verdict, never a trigger: posteriors, and what is left of an estimate that was stopped on.

Looked at often, "P(beats) above 95 %" is declared for two equal arms in most runs (measured: 71 % with a flat prior).
So these numbers are shown and decide nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import log_ndtr, ndtr

from stats import arguments

PRIOR_LIFT = 0.05  # standard deviation of relative lifts that one expects before any data


class Posterior(NamedTuple):
    """A normal distribution of the effect: mean and standard deviation in its unit."""

    mean: float
    sd: float


class Stopped(NamedTuple):
    """An estimate when the test stopped, in the metric's unit.

    Attributes:
        naive: as observed; too large on average, since large ones stop a test.
        shrunken: pulled towards the null by as much as a prior of the size of the MDE asks.
    """

    naive: float
    shrunken: float


def posterior(effect: float, se: float, prior_sd: float, prior_mean: float = 0.0) -> Posterior:
    """Posterior of an effect with a normal prior.

    Args:
        effect: estimate, in any unit; PRIOR_LIFT is a prior for relative lifts.
        se: its standard error, above 0.
        prior_sd: standard deviation of the prior, above 0; infinity for a flat one.
        prior_mean: mean of the prior.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        As a test: no number of looks is allowed for, and with a flat prior not even one promise is kept.

    Source:
        The normal model with known variance, e.g. Gelman et al. (2013), Bayesian Data Analysis.
    """
    arguments.between("effect", effect, -math.inf, math.inf)
    arguments.between("se", se, 0.0, math.inf)
    if not prior_sd > 0:
        raise arguments.wrong("prior_sd", "a number above 0, or infinity", prior_sd)
    data, prior = 1 / (se * se), 1 / (prior_sd * prior_sd)
    return Posterior((effect * data + prior_mean * prior) / (data + prior), 1 / math.sqrt(data + prior))


def beats(belief: Posterior) -> float:
    """The posterior chance that the effect is above 0."""
    return float(ndtr(belief.mean / belief.sd))


def expected_loss(belief: Posterior) -> float:
    """What choosing the treatment costs on average if it is worse: the posterior mean of max(-effect, 0).

    Returns:
        ``s * (phi(z) - z * Phi(-z))`` with z = mean/sd, in the metric's unit; at least 0.

    Source:
        Stucchio (2015), Bayesian A/B testing at VWO, for normal posteriors.
    """
    z = belief.mean / belief.sd
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    tail = math.exp(float(log_ndtr(-z)))
    return belief.sd * max(0.0, density - z * tail)


def at_stopping(effect: float, se: float, unit: float) -> Stopped:
    """The estimate of a test that has stopped, labelled as biased, with a shrunken one next to it.

    Args:
        effect: estimate, in the metric's unit.
        se: its standard error, above 0.
        unit: the MDE, above 0.

    Returns:
        Both. The interval that holds at every look needs no correction; neither of these has one.

    Not valid:
        As an unbiased estimate: shrinking takes away a part of the bias only.

    Source:
        Posterior mean under N(0, MDE^2), the prior for which the normal mixture with that variance is the Bayes factor.
    """
    arguments.between("unit", unit, 0.0, math.inf)
    return Stopped(effect, posterior(effect, se, unit).mean)
