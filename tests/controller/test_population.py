"""A returning population: people seen before the first step, uneven activity, outcomes that go with activity.

A/A runs through the whole ramp and the real fold. Filling the control's lane alike is what keeps them honest: with
"all other traffic is control" false claims and mismatches were found in every run.
"""

from __future__ import annotations

import math

import pytest

from tests.controller.simulation import Simulation, aa_world

RAMP = """
experiment: aa
route: digits
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 10 pp, window: 5 s, grace: 1 s}
guardrails: [{metric: errors, margin: 3 pp, window: 5 s, grace: 1 s}]
ramp:
  - {traffic: 1%, time: 8 s, units: 5}
  - {traffic: 5%, time: 8 s, units: 20}
  - {traffic: 10%, time: 8 s, units: 50}
  - {traffic: 25%, time: 60 s, units: 100}
"""
SECONDS = 120


def check(runs: int, seed: int) -> None:
    """False rollbacks at most 1 % and mismatches at most .1 %, each plus 3 standard errors."""
    rollbacks = mismatches = whole_ramps = 0
    for number in range(runs):
        run = Simulation(aa_world(), seed + number, RAMP).play(SECONDS)
        rollbacks += "rollback" in run.actions
        mismatches += not run.run["evidence"]["health"]["srm"]["ok"]
        whole_ramps += run.run["step"] == 3
    # A step waits while its estimate is outside the margin, so a few unlucky runs stay at 1 % for the whole time.
    assert whole_ramps >= 0.8 * runs
    for found, rate in ((rollbacks, 0.01), (mismatches, 0.001)):
        assert found <= runs * rate + 3 * math.sqrt(runs * rate * (1 - rate)), (rollbacks, mismatches)


def test_a_returning_population_is_not_mistaken_for_an_effect() -> None:
    """Twelve runs: by chance alone this fails with a probability below 1e-2 for another seed; the seed is fixed."""
    check(12, seed=1000)


@pytest.mark.slow
def test_two_hundred_runs_of_a_returning_population() -> None:
    """By chance alone this fails with a probability below 1e-2 for another seed; the seed is fixed."""
    check(200, seed=5000)
