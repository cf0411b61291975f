"""What units of each kind of metric come to: an effect makes those of the treatment worse by just so much."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from router.event_rows import NO_COVARIATE
from router.events import FIXED_POINT as F
from router.reading import AGES
from stats import frozen
from stats.histogram import bucket
from tests.simulate.streams import Flags, Float, Whole
from tests.simulate.units import WINDOW, Draw, Drawn, Rng, Who

STEP = F // 50  # of values that are drawn from a density
FREEZE = 5  # looks whose control units give the quantile that is frozen
METRIC = "outcome"


def by_arm(one: Callable[[Rng, Who, float], Drawn]) -> Callable[[float], Draw]:
    """Both arms on their own; an effect is the treatment's alone."""

    def worse_by(effect: float) -> Draw:
        return lambda rng, who: ({METRIC: one(rng, who[0], 0.0)}, {METRIC: one(rng, who[1], effect)})

    return worse_by


def fixed(values: npt.ArrayLike) -> Whole:
    """Numbers as the ledger keeps them, in steps."""
    steps: Whole = np.rint(np.asarray(values) * (F // STEP)).astype(np.int64)
    return steps * STEP


def events(hit: Flags, **more: Whole | Flags) -> Drawn:
    """Units with the event or without."""
    return Drawn(hit * F, np.ones(len(hit), np.int64), **more)  # type: ignore[arg-type]


def numbers(values: npt.ArrayLike, **more: Whole | Flags) -> Drawn:
    """A number for each unit, in one report."""
    y = fixed(values)
    return Drawn(y, np.ones_like(y), **more)  # type: ignore[arg-type]


def shares(p: float, *, relative: bool) -> Callable[[Rng, Who, float], Drawn]:
    """Units with an event of chance p."""

    def one(rng: Rng, who: Who, effect: float) -> Drawn:
        return events(rng.random(len(who.look)) < (p * (1 + effect) if relative else p + effect))

    return one


def lognormal(rng: Rng, who: Who, effect: float) -> Drawn:
    """Skewed values of median 1, all of them longer by a share."""
    return numbers(rng.lognormal(0.0, 1.0, len(who.look)) * (1 + effect))


CAP = 8.0
UNCAPPED = math.exp(0.5) * float(ndtr(math.log(CAP) - 1)) + CAP * float(ndtr(-math.log(CAP)))


def capped(rng: Rng, who: Who, effect: float) -> Drawn:
    """Lognormal values cut at a cap, which goes with a number that was known before; some units of a worse arm are at it."""
    before, own = rng.standard_normal((2, len(who.look)))
    values = np.minimum(np.exp(0.7 * before + math.sqrt(0.51) * own), CAP)
    values[rng.random(len(values)) < effect / (CAP - UNCAPPED)] = CAP
    return numbers(values, covariate=fixed(np.minimum(np.exp(before), CAP)))


def without_covariate(rng: Rng, who: Who, effect: float) -> Drawn:
    """The same where no covariate is sent."""
    return capped(rng, who, effect)._replace(covariate=None)


def adjusted(rng: Rng, who: Who, effect: float) -> Drawn:
    """A covariate of correlation .7, which one unit in five does not send."""
    before, own = rng.standard_normal((2, len(who.look)))
    y = 5 + 0.7 * before + math.sqrt(0.51) * own + effect
    sent = rng.random(len(y)) < 0.8
    return numbers(y, covariate=np.where(sent, fixed(before), NO_COVARIATE))


def sampled(rng: Rng, who: Who, y: Float, suspicious: Flags) -> Drawn:
    """Labels of every suspicious unit and of half of the others, weighted as the fold weighs them."""
    probability = np.where(suspicious, F, F // 2)
    asked = rng.random(len(y)) * F < probability
    weight = F * F // probability
    return Drawn(weight * fixed(y), weight, there=asked)


def sampled_shares(rng: Rng, who: Who, effect: float) -> Drawn:
    """An event that is five times as likely in suspicious units."""
    suspicious = rng.random(len(who.look)) < 0.2
    hit = rng.random(len(suspicious)) < np.where(suspicious, 0.5, 0.1) + effect
    return sampled(rng, who, hit.astype(float), suspicious)


def sampled_means(rng: Rng, who: Who, effect: float) -> Drawn:
    """A number that is larger in suspicious units."""
    suspicious = rng.random(len(who.look)) < 0.2
    return sampled(rng, who, rng.standard_normal(len(suspicious)) + 3.0 * suspicious + effect, suspicious)


def requests(rng: Rng, who: Who) -> Whole:
    """How often a unit asks: many once, a few very often."""
    return np.ceil(rng.lognormal(0.5, 1.0, len(who.look))).astype(np.int64)


def rates(*, relative: bool) -> Callable[[Rng, Who, float], Drawn]:
    """Events of .1 a request."""

    def one(rng: Rng, who: Who, effect: float) -> Drawn:
        n = requests(rng, who)
        return Drawn(rng.poisson(n * (0.1 * (1 + effect) if relative else 0.1 + effect)) * F, n)

    return one


def moving_rates(rng: Rng, who: Who, effect: float) -> Drawn:
    """Events in bursts of their units, some of which ask very often, ten times as many in the first half of the looks."""
    n = np.ceil(rng.lognormal(0.5, 1.5, len(who.look))).astype(np.int64)
    level = np.where(who.look < 12, 0.5, 0.05) * rng.gamma(2.0, 0.5, len(n)) * (1 + effect)
    return Drawn(rng.poisson(n * level) * F, n)


def ratios(rng: Rng, who: Who, effect: float) -> Drawn:
    """Sums over one to many reports, of units with levels of their own."""
    n = 1 + rng.poisson(2.0, len(who.look))
    own, noise = rng.standard_normal((2, len(n)))
    return Drawn(fixed(n * (2 + 0.5 * own + effect) + np.sqrt(n) * noise), n)


def edits(rng: Rng, who: Who, effect: float) -> Drawn:
    """Shares of answers that were changed: .25 on average, of units with habits of their own."""
    n, own = 1 + rng.poisson(2.0, len(who.look)), rng.beta(2.0, 6.0, len(who.look))
    return Drawn(fixed(n * (own + effect * (1 - own) / 0.75)), n)


RATINGS = (0.05, 0.05, 0.1, 0.3, 0.5)


def ratings(rng: Rng, who: Who, effect: float) -> Drawn:
    """Five categories, 4.15 on average; some of a worse arm rate 1 instead."""
    scores = rng.choice(5, len(who.look), p=RATINGS) + 1
    scores[rng.random(len(scores)) < effect / 3.15] = 1
    return Drawn(scores * F, np.ones_like(scores))


def first_events(*, hazard: bool) -> Callable[[Rng, Who, float], Drawn]:
    """About one unit in six has the event, with chances of .01 in each part of its window."""

    def one(rng: Rng, who: Who, effect: float) -> Drawn:
        p = 0.01 * (1 + effect)
        until = 1 - (1 - p) ** np.arange(1, AGES + 1) if hazard else p * np.arange(1, AGES + 1)
        age = np.searchsorted(until, rng.random(len(who.look)), side="right")
        hit = age < AGES
        return events(hit, late=age * WINDOW // AGES)._replace(n=np.where(hit, age, 0))

    return one


def exceeding(share: float, *, relative: bool) -> Callable[[float], Draw]:
    """Values beyond a quantile of control, frozen from the first looks; only units that enter later are held against it."""

    def values(chance: Float, who: Who, limits: Float) -> dict[str, Drawn]:
        return {METRIC: events(_latency(chance) > limits[who.replication], there=who.look > FREEZE)}

    def worse_by(effect: float) -> Draw:
        def draw(rng: Rng, who: tuple[Who, Who]) -> tuple[dict[str, Drawn], dict[str, Drawn]]:
            mine, others = (rng.random(len(units.look)) for units in who)
            others = others / (1 + effect) if relative else np.maximum(others - effect, 1e-9)
            limits = np.array([_limit(mine[part], share) for part in _warm(who[0])])
            return values(mine, who[0], limits), values(others, who[1], limits)

        return draw

    return worse_by


def _latency(chance: Float) -> Whole:
    """The exponential value that is exceeded with a chance."""
    values: Whole = np.rint(-np.log(chance) * F).astype(np.int64)
    return values


def _warm(who: Who) -> list[Flags]:
    early = who.look <= FREEZE
    return [early & (who.replication == replication) for replication in range(int(who.replication.max()) + 1)]


def _limit(chance: Float, share: float) -> int:
    counts: dict[int, int] = {}
    for value in _latency(chance).tolist():
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    limit = frozen.quantile(counts, share).value
    assert limit is not None
    return limit


def place_of(rng: Rng, who: Who) -> tuple[Whole, Flags]:
    """The stratum of each unit: two segments whose sizes drift, and a roll when units are a third in."""
    rolled, other = who.look >= 18, rng.random(len(who.look)) < 0.2 + 0.02 * who.look
    return 2 * rolled + other, other


def stratified_shares(p: tuple[float, float], *, relative: bool) -> Callable[[Rng, Who, float], Drawn]:
    """Segments that differ, both changed by a roll."""

    def one(rng: Rng, who: Who, effect: float) -> Drawn:
        stratum, other = place_of(rng, who)
        level = np.where(other, p[1], p[0]) * np.where(stratum > 1, 0.8, 1.0)
        hit = rng.random(len(level)) < (level * (1 + effect) if relative else level + effect)
        return events(hit, stratum=stratum)

    return one


def stratified_means(rng: Rng, who: Who, effect: float) -> Drawn:
    """Levels and spreads that differ by segment and roll."""
    stratum, other = place_of(rng, who)
    values = (1.0 + other) * rng.standard_normal(len(other)) + 3.0 * other + 0.5 * (stratum > 1) + effect
    return numbers(values, stratum=stratum)
