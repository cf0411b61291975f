"""Worlds whose units act once: every unit enters, gives one value, and its window closes a fixed time later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.simulate.streams import Float, Stream, Sums, Whole, batches, events, later

LOOKS = 150
EVENTS = 5000  # expected in both arms by the last look: at a share of 5 % the gate opens at a fifth of it
WINDOW = 3  # looks until a window has closed


def arrivals(rng: np.random.Generator, reps: int, sizes: Whole, share: float | Float) -> tuple[Whole, Whole]:
    """New units of (control, treatment) at each look; each is assigned on its own, by one share or one for each look."""
    treatment = rng.binomial(sizes, share, (reps, len(sizes)))
    return sizes - treatment, treatment


def _stream(name: str, share: float, arms: tuple[Sums, Sums], window: int, resolution: int = 1) -> Stream:
    closed = later(arms[0], window), later(arms[1], window)
    return Stream(name, share, (arms[0].n, arms[1].n), arms, closed, resolution)


def proportions(
    rng: np.random.Generator,
    reps: int,
    share: float,
    p0: float | Float,
    p1: float | Float,
    *,
    sizes: Whole | None = None,
    name: str = "",
    window: int = WINDOW,
) -> Stream:
    """An event or none.

    Args:
        rng: of this world.
        reps: replications.
        share: of the treatment.
        p0: chance of the event in control, one or one for each look.
        p1: the same in the treatment.
        sizes: of the batches; absent, 150 that grow until 5,000 events are expected.
        name: of the world.
        window: looks until a unit's window has closed.
    """
    rate = float(np.max(p0))
    if sizes is None:
        sizes = batches(2 / rate, EVENTS / rate, LOOKS)
    new = arrivals(rng, reps, sizes, share)
    arms = [
        events(n.cumsum(axis=1), rng.binomial(n, p).cumsum(axis=1))
        for n, p in zip(new, (p0, p1), strict=True)
    ]
    return _stream(name or f"p {rate:g}", share, (arms[0], arms[1]), window)


def values(
    rng: np.random.Generator,
    reps: int,
    share: float,
    draw: Callable[[int], Float],
    effect: float = 0.0,
    *,
    sizes: Whole,
    factor: float = 1.0,
    name: str = "",
    window: int = WINDOW,
    cap: float = 1e6,
) -> Stream:
    """A number, kept to the hundredth.

    Args:
        rng: of this world.
        reps: replications.
        share: of the treatment.
        draw: that many values of control.
        effect: added to those of the treatment.
        sizes: of the batches.
        factor: by which those of the treatment are multiplied.
        name: of the world.
        window: looks until a unit's window has closed.
        cap: above which a value counts as the cap; it only keeps sums within 63 bits unless it is set.
    """
    arms = []
    for n, shift, times in zip(arrivals(rng, reps, sizes, share), (0.0, effect), (1.0, factor), strict=True):
        drawn = np.rint(np.minimum(draw(int(n.sum())) * times + shift, cap) * 100).astype(np.int64)
        ends = n.ravel().cumsum()
        parts = [
            np.diff(np.concatenate(([0], part.cumsum()))[ends], prepend=0) for part in (drawn, drawn * drawn)
        ]
        total, squares = (part.reshape(n.shape).cumsum(axis=1) for part in parts)
        count = n.cumsum(axis=1)
        arms.append(Sums(count, count, count, total, count, total, squares))
    return _stream(name, share, (arms[0], arms[1]), window, resolution=100)


def lognormal(
    rng: np.random.Generator, reps: int, share: float, sigma: float, effect: float = 0.0, units: int = 20_000
) -> Stream:
    """Skewed values of median 1, up to ``units`` in both arms."""
    return values(
        rng,
        reps,
        share,
        lambda n: rng.lognormal(0.0, sigma, n),
        effect,
        sizes=batches(100, units, 70),
        name=f"lognormal σ {sigma:g}",
    )


RAMP = (0.04, 0.2, 0.4, 1.0)  # coverage of the default ramp: 1, 5, 10 and 25 % of a lane of 25 %


def ramp_sizes(per_look: int, looks: int) -> Whole:
    """Batches of a ramp of four steps of equal length, with all traffic being ``per_look`` units a look."""
    coverage = np.repeat(RAMP, -(-looks // len(RAMP)))[:looks]
    sizes: Whole = np.maximum(1, np.rint(per_look * coverage)).astype(np.int64)
    return sizes


def drifting(
    rng: np.random.Generator, reps: int, share: float, effect: float = 0.0, per_look: int = 400
) -> Stream:
    """A baseline that drifts from 10 to 12 % while the ramp raises coverage."""
    looks = 120
    p = np.linspace(0.10, 0.12, looks)
    sizes = ramp_sizes(per_look, looks)
    return proportions(rng, reps, share, p, p + effect, sizes=sizes, name="drift .10 → .12 under a ramp")


def delayed(
    rng: np.random.Generator,
    reps: int,
    share: float,
    effect: float = 0.0,
    *,
    sizes: Whole | None = None,
    entering: float | Float | None = None,
) -> Stream:
    """Conversions that come late under a ramp: 10 % of the units, after 8 looks on average; the window is 20 looks.

    Args:
        rng: of this world.
        reps: replications.
        share: of the treatment's lane in both lanes.
        effect: added to the treatment's 10 %.
        sizes: of 120 batches; absent, those of a ramp that fills both lanes alike.
        entering: the treatment's share of each batch, where it is not ``share``.
    """
    looks, window, p = 120, 20, 0.1
    sizes = ramp_sizes(400, looks) if sizes is None else sizes
    new = arrivals(rng, reps, sizes, share if entering is None else entering)
    chances = np.exp(-np.arange(window) / 8) - np.exp(-np.arange(1, window + 1) / 8)
    running, closed, exposed = [], [], []
    for n, rate in zip(new, (p, p + effect), strict=True):
        converting = rng.binomial(n, rate / chances.sum())  # so that ``rate`` of them do inside the window
        heard, kept = np.zeros((reps, looks + window), np.int64), np.zeros((reps, looks), np.int64)
        for look in range(looks):
            after = rng.multinomial(converting[:, look], [*chances, 1 - chances.sum()])[:, :window]
            heard[:, look : look + window] += after
            kept[:, look] = after.sum(axis=1)
        entered = n.cumsum(axis=1)
        exposed.append(entered)
        running.append(events(entered, heard[:, :looks].cumsum(axis=1)))
        closed.append(later(events(entered, kept.cumsum(axis=1)), window))
    return Stream(
        "delayed conversions under a ramp",
        share,
        (exposed[0], exposed[1]),
        (running[0], running[1]),
        (closed[0], closed[1]),
    )


def silent(reps: int, share: float, rng: np.random.Generator) -> Stream:
    """No event at all, in either arm."""
    return proportions(rng, reps, share, 0.0, 0.0, sizes=batches(20, 20_000, 100), name="no event at all")
