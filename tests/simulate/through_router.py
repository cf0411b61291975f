"""How often the router's own evidence claims what is false: file, lanes, windows and looks, every look weighed in full.

The moments of each look are those of the stream under the names that the fold writes; all that follows is the product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from router.events import FIXED_POINT
from router.evidence import Evidence, State, Verdict, weigh
from router.health import Health
from router.metric import KINDS
from router.reading import Reading
from tests.controller.runs import START, started
from tests.simulate.cases import CASES, Case
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.streams import Stream, Sums, Whole

HEALTHY = Health(sent=(1000, 1000))
MOST_LOOKS = 40  # of a stream's; a look is a whole evaluation of the run
EXPERIMENT = """
experiment: simulated
route: digits
kind: canary
control: v1
treatment: v2
goal: {goal}
guardrails: [{guardrails}]
ramp: ["{traffic:g}%"]
"""


def run_of(case: Case, share: float) -> dict[str, Any]:
    """The run of an experiment file that measures one outcome once for each kind."""

    def metric(kind: str) -> str:
        scale, unit = (100, " pp") if KINDS[kind].name in ("proportion", "rare_proportion") else (1, "")
        mde, margin = (f"{q * scale:.9f}{unit}" for q in (case.ask.unit, case.ask.margin or case.ask.unit))
        return f"{{metric: as_{kind}, kind: {kind}, better: lower, mde: {mde}, margin: {margin}, absent: missing}}"

    goal, *guardrails = map(metric, case.kinds)
    text = EXPERIMENT.format(goal=goal, guardrails=", ".join(guardrails), traffic=share * 100)
    return started(text, step=0)[0]


def parts(sums: Sums, reading: Reading, resolution: int) -> list[Whole]:
    """A stream's sums as a reading's own, in fixed point; as Python's whole numbers, which never overflow."""
    f = FIXED_POINT // resolution
    n, hit, sx, sy, sxx, sxy, syy = (part.astype(object) for part in sums)
    known = {
        ("n", "x"): [n, hit],
        ("n", "sx", "sxx"): [n, sy * f, syy * f * f],
        ("n", "sx", "sy", "sxx", "sxy", "syy"): [n, sx, sy * f, sxx, sxy * f, syy * f * f],
    }
    return known[reading.names]


def moments_of(stream: Stream, kinds: Sequence[str], looks: Whole) -> dict[str, Any]:
    """Names of moments to their values at each replication and look."""
    moments: dict[str, Any] = {}
    for arm in (0, 1):
        moments[f"1|{arm}||u|n"] = stream.exposed[arm][:, looks].astype(object)
        moments[f"1|{arm}||c|n"] = stream.closed[arm].n[:, looks].astype(object)
        for kind in kinds:
            name = f"1|{arm}|as_{kind}"
            moments[f"{name}|p|n"] = stream.closed[arm].n[:, looks].astype(object)
            for key, reading, sums in (
                ("r", KINDS[kind].running, stream.running[arm]),
                ("c", KINDS[kind].closed, stream.closed[arm]),
            ):
                seen = Sums(*(part[:, looks] for part in sums))
                for part, values in zip(reading.names, parts(seen, reading, stream.resolution), strict=True):
                    moments[f"{name}|{key}|{part}"] = values
    return moments


CLAIMS = ("harm", "superior", "promotion", "invalid")


def looks_of(
    run: dict[str, Any], moments: Mapping[str, Any], replication: int, looks: int
) -> Iterator[Evidence]:
    """The evidence of one replication, look after look; the run keeps what the controller would."""
    run = run | {"maxima": {}, "srm": 0.0}
    for look in range(looks):
        values = {name: course[replication, look] for name, course in moments.items()}
        said = weigh(
            run, {name: value for name, value in values.items() if value}, HEALTHY, START + look * 1000
        )
        run |= {"maxima": said.maxima, "srm": said.srm, "horizon": said.horizon}
        yield said


def claimed(run: dict[str, Any], moments: Mapping[str, Any], replication: int, looks: int) -> dict[str, bool]:
    """Which claims the evidence of one replication makes at any look."""
    found = dict.fromkeys(CLAIMS, False)
    for said in looks_of(run, moments, replication, looks):
        states = [row["state"] for row in said.document["metrics"].values()]
        found["harm"] |= bool(said.harmful)
        found["superior"] |= State.SUPERIOR in states
        found["promotion"] |= said.proven
        found["invalid"] |= said.verdict is Verdict.INVALID or bool(said.invalid)
    return found


def claims_of(case: Case, reps: int, seed: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """By claim, whether each replication makes it."""
    stream = case.draw(rng_of(seed, "router " + case.name), reps)
    looks = np.unique(np.linspace(0, stream.shape[1] - 1, MOST_LOOKS).round().astype(np.int64))
    run, moments = run_of(case, stream.share), moments_of(stream, case.kinds, looks)
    found = [claimed(run, moments, replication, len(looks)) for replication in range(reps)]
    return {claim: np.array([row[claim] for row in found]) for claim in CLAIMS}


def rows_of(case: Case, reps: int, seed: int) -> list[Row]:
    """What may not be claimed: harm and superiority where the arms are alike, promotion where the margin is reached."""
    found = claims_of(case, reps, seed)
    rows = [rate(case.name, found["invalid"], 0.001 + 0.01 * len(case.kinds), column="invalid")]
    if case.ask.margin:
        return [rate(case.name, found["promotion"], 0.05, column="promotion"), *rows]
    return [
        rate(case.name, found["harm"], 0.01, column="rollback"),
        rate(case.name, found["superior"], 0.05, column="superior"),
        *rows,
    ]


def study(reps: int, seed: int) -> Result:
    """Every world once more, through the router."""
    rows = [row for case in CASES if case.kinds for row in rows_of(case, reps, seed)]
    return Result(
        "through_router",
        "Wrong verdicts of the router, looking after every batch",
        f"The same worlds through the experiment file, lanes, windows and `weigh`, {MOST_LOOKS} looks a run, every kind of "
        "metric that fits at once: a canary with harm at 1 % for all metrics together, promotion at 5 %, a mismatch at 0.1 %, unequal reports of a metric at 1 %.",
        reps,
        seed,
        rows,
    )
