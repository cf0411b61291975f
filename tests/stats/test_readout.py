"""Read-outs: the normal model against numerical integration, and what stopping does to an estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import evalues
from stats.planning import fixed_information
from stats.readout import PRIOR_LIFT, Posterior, at_stopping, beats, expected_loss, posterior

EFFECTS = st.floats(-3, 3)
WIDTHS = st.floats(0.05, 3)


@given(EFFECTS, WIDTHS, WIDTHS, EFFECTS)
def test_the_posterior_is_likelihood_times_prior(
    effect: float, se: float, prior_sd: float, prior_mean: float
) -> None:
    grid = np.linspace(-25, 25, 20_001)
    log = -((grid - effect) ** 2) / (2 * se**2) - (grid - prior_mean) ** 2 / (2 * prior_sd**2)
    density = np.exp(log - log.max())
    density /= density.sum()
    mean = float(density @ grid)
    found = posterior(effect, se, prior_sd, prior_mean)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.sd == pytest.approx(math.sqrt(float(density @ (grid - mean) ** 2)), rel=1e-5)


@given(EFFECTS, WIDTHS)
def test_loss_and_chance_are_those_of_the_distribution(mean: float, sd: float) -> None:
    belief = Posterior(mean, sd)
    grid = mean + sd * np.linspace(-10, 10, 40_001)
    density = np.exp(-((grid - mean) ** 2) / (2 * sd**2))
    density /= density.sum()
    assert expected_loss(belief) == pytest.approx(float(density @ np.maximum(-grid, 0)), abs=1e-6)
    assert beats(belief) == pytest.approx(float(density[grid > 0].sum()), abs=5e-4)
    assert beats(Posterior(-mean, sd)) == pytest.approx(1 - beats(belief), abs=1e-12)


def test_a_flat_prior_keeps_the_estimate_and_a_narrow_one_shrinks_it() -> None:
    assert posterior(0.1, 0.05, math.inf) == pytest.approx((0.1, 0.05))
    assert 0 < posterior(0.1, 0.05, PRIOR_LIFT).mean < 0.1
    assert expected_loss(Posterior(50.0, 1.0)) == 0.0


@pytest.mark.parametrize("effect", [0.5, 1.0])
def test_an_estimate_at_stopping_is_too_large_and_the_shrunken_one_less_so(effect: float) -> None:
    """3,000 runs of the default test, true effects of a half and one MDE; the biases are many standard errors apart."""
    rng = np.random.default_rng(21)
    information = fixed_information(1.0, 0.025, 0.8) * np.arange(1, 401) / 100
    step = information[0]
    weighted = rng.normal(effect * step, math.sqrt(step), (3000, 400)).cumsum(axis=1)
    parts = [
        math.log(weight) + k * weighted - information * k * k / 2
        for k, weight in zip((0.5, 1.0, 2.0, 4.0), (0.2, 0.5, 0.2, 0.1), strict=True)
    ]
    hit = np.logaddexp.reduce(parts, axis=0) >= math.log(40)
    runs = np.flatnonzero(hit.any(axis=1))
    at = hit.argmax(axis=1)[runs]
    pairs = [
        at_stopping(float(weighted[run, look] / information[look]), float(information[look] ** -0.5), 1.0)
        for run, look in zip(runs, at, strict=True)
    ]
    naive, shrunken = np.mean(pairs, axis=0)
    assert effect < shrunken < naive
    assert naive - shrunken > 0.05
    assert evalues.log_sum_exp([part[runs[0], at[0]] for part in parts]) >= math.log(40)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: posterior(0.0, 0.0, 1.0), "se"),
        (lambda: posterior(math.nan, 1.0, 1.0), "effect"),
        (lambda: posterior(0.0, 1.0, 0.0), "prior_sd"),
        (lambda: at_stopping(0.0, 1.0, 0.0), "unit"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
