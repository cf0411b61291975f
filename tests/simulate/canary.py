"""Canaries with rare errors: how soon harm is seen, how soon a good one is promoted, and how often wrongly."""

from __future__ import annotations

import math

import numpy as np

from stats import counts, rare, sprt
from stats.evalues import threshold
from tests.simulate import worlds
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, average, rate, rng_of
from tests.simulate.streams import Flags, Float, Stream, Whole, each, first

ALPHA_HARM, ALPHA_PROMOTE = 0.01, 0.05
SHARES = (0.25, 0.05)
# (rate of control, of treatment, units of both arms between looks, looks), promised by share, peers at a share of .05.
HARMFUL: list[tuple[float, float, int, int, dict[float, float | None], str]] = [
    (0.01, 0.015, 1000, 900, {0.05: None}, "1 → 1.5 %, share .05"),
    (0.01, 0.02, 200, 1000, {0.25: 2050, 0.05: 1600}, "1 → 2 %, share .05"),
    (0.01, 0.05, 100, 400, {0.25: 295, 0.05: 220}, "1 → 5 %, share .05"),
    (0.001, 0.005, 400, 800, {0.25: 2600, 0.05: 1850}, ".1 → .5 %, share .05"),
]


def stream_of(
    seed: int, name: str, reps: int, share: float, p: tuple[float, float], size: int, looks: int
) -> Stream:
    """Requests of a canary, a look after each batch."""
    sizes = np.full(looks, size)
    return worlds.proportions(rng_of(seed, f"{name} {share} {p}"), reps, share, *p, sizes=sizes, window=0)


def harm(stream: Stream) -> Float:
    """Log e of the exact conditional test of harm."""
    x0, x1 = (arm.hit for arm in stream.running)
    return counts.log_evalues(x0, x1, stream.share)


def treatment_units(stream: Stream, look: Whole) -> Float:
    """Units of the treatment at a look of each replication."""
    return stream.exposed[1][np.arange(len(look)), look].astype(float)


def study(reps: int, seed: int) -> Result:
    """Rollback of a harmful canary, at 1 %."""
    rows: list[Row] = []
    for share in SHARES:
        for p in (0.01, 0.001):
            stream = stream_of(seed, "harmless", reps, share, (p, p), 1000 if p == 0.01 else 4000, 400)
            hits = harm(stream).max(axis=1) >= threshold(ALPHA_HARM)
            rows.append(
                rate(
                    f"share {share:g}, {p:.1%} in both arms: rolled back",
                    hits,
                    ALPHA_HARM,
                    peers=words("rolled back wrongly"),
                )
            )
        for p0, p1, size, looks, promised, peers in HARMFUL:
            if share not in promised:
                continue
            stream = stream_of(seed, "harmful", reps, share, (p0, p1), size, looks)
            look, _ = first(harm(stream) >= threshold(ALPHA_HARM))
            said = words(peers) if share == 0.05 else ""
            what = f"share {share:g}, {p0:.1%} → {p1:.1%}: canary requests to rollback"
            rows.append(average(what, treatment_units(stream, look), promised[share], peers=said))
    return Result(
        "canary",
        "A harmful canary: requests until it is rolled back",
        "Exact conditional test at 1 %; a look every 100 to 1,000 requests of both arms, 400 looks where nothing is wrong. "
        "Means of the canary's own requests. The bounds are Wald's for a known control.",
        reps,
        seed,
        rows,
    )


MARGIN = 2.0  # as a ratio of rates


def by_mixture(stream: Stream) -> tuple[Whole, Flags]:
    """(Look of the promotion, whether it comes) by the mixture of ratios inside the margin."""
    x0, x1 = (arm.hit for arm in stream.running)
    log_e = counts.log_evalues(x0, x1, stream.share, MARGIN, counts.within(MARGIN))
    return first(log_e >= threshold(ALPHA_PROMOTE))


def by_sprt(stream: Stream) -> tuple[Whole, Flags]:
    """(Look of the end, whether it is a promotion) by Wald's test, which rolls back at its other edge."""
    x0, x1 = (arm.hit for arm in stream.running)
    accept, reject = sprt.thresholds(ALPHA_HARM, ALPHA_PROMOTE)
    log_e = each(lambda a, b: sprt.rate_log_evalue([(a, b, stream.share)], MARGIN), x0, x1)
    look, found = first((log_e >= reject) | (log_e <= accept))
    return look, found & (log_e[np.arange(len(look)), look] <= accept)


def promotion(reps: int, seed: int) -> Result:
    """Promotion of a good canary, at 5 %."""
    rows: list[Row] = []
    for share, limit in ((0.05, 1250), (0.25, 1700)):
        good = stream_of(seed, "good", reps, share, (0.01, 0.01), 200, 1000)
        bad = stream_of(seed, "at the margin", reps, share, (0.01, 0.02), 200, 1000)
        for name, test in (("mixture", by_mixture), ("canary SPRT", by_sprt)):
            look, promoted = test(good)
            wrong = test(bad)[1]
            peers = words("promotion, share .05") if share == 0.05 else ""
            units = treatment_units(good, look)
            rows += [
                rate(f"share {share:g}, {name}: promoted", promoted, 0.99, side="least"),
                average(f"share {share:g}, {name}: canary requests", units, limit, peers=peers),
                rate(f"share {share:g}, {name}: promoted at the margin", wrong, ALPHA_PROMOTE),
            ]
    for p, exact in ((0.0, 434), (0.001, 630), (0.003, 1243)):
        units = zero_errors(rng_of(seed, f"zero errors {p}"), max(2, reps // 4), p)
        what = f"zero-errors rule, margin 1 pp, errors {p:.1%}: canary requests"
        rows.append(average(what, units, exact, peers="the promise is the exact mean, by recursion"))
    return Result(
        "promotion",
        "A good canary: requests until it may be promoted",
        "Errors of 1 % in both arms, margin of twice the rate, at 5 %, a look every 200 requests of both arms; the SPRT rolls "
        "back at 1 %. Zero-errors rule: errors as given, margin 1 pp, a look at every request, averaged with a grid that is "
        "silent; a quarter of the runs.",
        reps,
        seed,
        rows,
    )


def zero_errors(rng: np.random.Generator, reps: int, p: float, most: int = 4000) -> Float:
    """Requests of the treatment until the rule promotes, with the grid silent, looking after each."""
    x = (rng.random((reps, most)) < p).cumsum(axis=1)
    n = np.broadcast_to(np.arange(1, most + 1), x.shape)
    half = np.logaddexp(rare.log_evalues(n, x, 0.01), 0.0) - math.log(2)
    return np.asarray(first(half >= threshold(ALPHA_PROMOTE))[0] + 1.0)
