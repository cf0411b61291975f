"""The shipped tests as functions of a stream: for each claim that is false in its world, log e after every look.

Every formula is the product's: arrays where it takes arrays, otherwise number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stats import beta, claims, counts, grid, half_normal, means, normal, proportions, rare, ratios, srm
from stats.claims import Claim
from stats.estimates import Estimate
from stats.moments import FIXED_POINT, sample
from stats.pairs import Totals
from tests.simulate.streams import Arms, Float, Stream, rows_of


class Said(NamedTuple):
    """A and B of METHODS at every look; both 0 where the gate is closed."""

    a: Float
    b: Float


def of_proportions(arms: Arms) -> Said:
    """Units with the event among units."""
    (n0, x0), (n1, x1) = ((arm.n, arm.hit) for arm in arms)
    both = (n0 > 0) & (n1 > 0)
    a, b = np.zeros(n0.shape), np.zeros(n0.shape)
    a[both], b[both] = proportions.differences(n0[both], x0[both], n1[both], x1[both])
    return Said(a, b)


def of_estimates(estimates: list[Estimate], shape: tuple[int, ...]) -> Said:
    """What a list of estimates says, in the shape of the looks."""
    a = np.array([e.information if e.open else 0.0 for e in estimates])
    b = np.array([e.weighted if e.open else 0.0 for e in estimates])
    return Said(a.reshape(shape), b.reshape(shape))


def of_means(arms: Arms, resolution: int) -> Said:
    """Means over units of a number per unit."""
    samples = [
        [sample(n, sy, syy, resolution) for n, sy, syy in zip(*rows_of(arm.n, arm.sy, arm.syy), strict=True)]
        for arm in arms
    ]
    return of_estimates([means.difference(*pair) for pair in zip(*samples, strict=True)], arms[0].n.shape)


def totals(arms: Arms, resolution: int) -> list[list[Totals]]:
    """Sums of both arms as the ratios take them."""
    f = FIXED_POINT // resolution
    return [
        [
            Totals(n, sx, sy * f, sxx, sxy * f, syy * f * f)
            for n, sx, sy, sxx, sxy, syy in zip(
                *rows_of(arm.n, arm.sx, arm.sy, arm.sxx, arm.sxy, arm.syy), strict=True
            )
        ]
        for arm in arms
    ]


def of_ratios(arms: Arms, resolution: int, effect: Callable[[Totals, Totals], Estimate]) -> Said:
    """Ratios of sums over units."""
    pairs = zip(*totals(arms, resolution), strict=True)
    return of_estimates([effect(*pair) for pair in pairs], arms[0].n.shape)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a stream.

    Attributes:
        unit: the MDE, in the metric's unit.
        margin: 0 when the arms are alike, so that harm and superiority are false claims; above 0 when the treatment is
            worse by just that much, so that non-inferiority is the false one.
        ratio: treatment's rate over control's when the margin is one of rates.
    """

    unit: float
    margin: float = 0.0
    ratio: float = 1.0

    def false(self) -> list[Claim]:
        """The one-sided claims that are false."""
        if self.margin:
            return [claims.non_inferiority("lower", self.margin)]
        return [claims.harm("lower", 0.0), claims.superiority("lower")]


Looks = list[Float]


def by_grid(said: Said, ask: Question) -> Looks:
    """The MDE grid."""
    unit = ask.margin or ask.unit
    return [grid.log_evalues(said.a, claim.sign * said.b, claim.null, unit) for claim in ask.false()]


def by_half_normal(said: Said, ask: Question) -> Looks:
    """The one-sided normal mixture with a deviation of the MDE."""
    unit = ask.margin or ask.unit
    return [half_normal.log_evalues(said.a, c.sign * said.b, c.null, unit * unit) for c in ask.false()]


def by_normal(said: Said, ask: Question) -> Looks:
    """The two-sided normal mixture with a deviation of the MDE, about the true effect."""
    unit = ask.margin or ask.unit
    return [normal.log_evalues(said.a, said.b, ask.margin, unit * unit)]


def by_counts(stream: Stream, ask: Question) -> Looks:
    """The exact conditional test of units with an event."""
    x0, x1 = (arm.hit for arm in stream.running)
    if ask.margin:
        return [counts.log_evalues(x0, x1, stream.share, ask.ratio, counts.within(ask.ratio))]
    return [counts.log_evalues(x0, x1, stream.share, 1.0, mixture) for mixture in (counts.MORE, counts.FEWER)]


def by_beta(stream: Stream, ask: Question) -> Looks:
    """The two-sided Beta mixture."""
    pairs = zip(*rows_of(*(arm.hit for arm in stream.running)), strict=True)
    found = [beta.log_evalue(x0, x1, stream.share, ask.ratio) for x0, x1 in pairs]
    return [np.array(found).reshape(stream.shape)]


def by_rare(stream: Stream, ask: Question) -> Looks:
    """The zero-errors rule at a margin that the treatment's own rate just reaches, or exceeds."""
    closed = stream.closed[1]
    return [rare.log_evalues(closed.n, closed.hit, ask.margin or ask.unit)]


def by_srm(stream: Stream) -> Looks:
    """The sample ratio."""
    shares = (1 - stream.share, stream.share)
    pairs = zip(*rows_of(*stream.exposed), strict=True)
    return [np.array([srm.log_evalue([(pair, shares)]) for pair in pairs]).reshape(stream.shape)]


MIXTURES = {"MDE grid": by_grid, "half-normal": by_half_normal, "normal, two-sided": by_normal}


def of_shares(stream: Stream, ask: Question) -> dict[str, Looks]:
    """All tests of units with an event."""
    said = of_proportions(stream.closed)
    found = {name: test(said, ask) for name, test in MIXTURES.items()}
    if not ask.margin or ask.ratio != 1:
        found["counts, exact"] = by_counts(stream, ask)
        found["Beta, exact, two-sided"] = by_beta(stream, ask)
    if ask.margin:
        found["zero errors, exact"] = by_rare(stream, ask)
    return found


def of_numbers(stream: Stream, ask: Question) -> dict[str, Looks]:
    """All tests of a number per unit."""
    said = of_means(stream.closed, stream.resolution)
    return {name: test(said, ask) for name, test in MIXTURES.items()}


def of_visits(stream: Stream, ask: Question) -> dict[str, Looks]:
    """All tests of units that come back: running shares and ratios, and what has closed."""
    share = of_ratios(stream.running, stream.resolution, ratios.share_difference)
    ratio = of_ratios(stream.running, stream.resolution, ratios.difference)
    return {
        "grid, share of reports": by_grid(share, ask),
        "grid, ratio": by_grid(ratio, ask),
        "MDE grid": by_grid(of_proportions(stream.closed), ask),
        "counts, exact": by_counts(stream, ask),
    }
