"""After a promotion: time to a false alarm, and until a doubled error rate is seen."""

from __future__ import annotations

import math

import numpy as np

from stats import detectors
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, average, rate, rng_of

BASELINE = 0.01
WARM_UP = 2000  # healthy outcomes before the change
HORIZON = 1_000_000  # outcomes watched for a false alarm
BLOCK = 5000


def alarms(
    rng: np.random.Generator, reps: int, detector: str, rates: tuple[float, float], change: int, outcomes: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Outcomes until each of the streams has its alarm; ``outcomes`` where none came."""
    steps = detectors.increments(BASELINE)
    step = {"shiryaev_roberts": detectors.shiryaev_roberts, "cusum": detectors.cusum}[detector]
    state = np.tile(detectors.start(steps.shape[1]), (reps, 1))
    found = np.full(reps, float(outcomes))
    waiting = np.arange(reps)
    for begun in range(0, outcomes, BLOCK):
        times = np.arange(begun, min(begun + BLOCK, outcomes))
        p = np.where(times < change, rates[0], rates[1])
        events = (rng.random((len(times), reps)) < p[:, None]).astype(np.int64)
        for time, event in zip(times.tolist(), events, strict=True):
            state = step(state, steps[event[waiting]])
            out = detectors.log_evidence(state) >= math.log(detectors.ALARM)
            if out.any():
                found[waiting[out]] = time + 1.0
                waiting, state = waiting[~out], state[~out]
        if not len(waiting):
            break
    return found


def study(reps: int, seed: int) -> Result:
    """Alarm level 1e5, errors of 1 %."""
    rows: list[Row] = []
    for name, label in (("shiryaev_roberts", "Shiryaev-Roberts"), ("cusum", "CUSUM")):
        rng = rng_of(seed, f"degradation {name}")
        healthy = alarms(rng, max(2, reps // 5), name, (BASELINE, BASELINE), 0, HORIZON)
        ill = alarms(rng, reps, name, (BASELINE, 2 * BASELINE), WARM_UP, 40_000)
        early = ill <= WARM_UP
        rows += [
            average(
                f"{label}: outcomes to a false alarm, cut at {HORIZON:,}",
                healthy,
                detectors.ALARM,
                side="least",
            ),
            rate(f"{label}: false alarm within {HORIZON:,} outcomes", healthy < HORIZON),
            average(
                f"{label}: outcomes until a doubling is seen",
                ill[~early] - WARM_UP,
                1400 if name == "shiryaev_roberts" else None,
                peers=words("doubling seen") if name == "shiryaev_roberts" else "",
            ),
        ]
    return Result(
        "degradation",
        "After a promotion: slow degradation",
        f"E-detectors at A = 1e5, errors {BASELINE:.0%}; the doubling comes after {WARM_UP:,} healthy outcomes.",
        reps,
        seed,
        rows,
    )
