"""The command that watches a promoted model by its counts. It speaks to nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

import click

from router.bucketing import PPM
from router.cli import terminal
from router.cli.exits import NO, YES
from router.cli.files import json_option
from router.degradation import RUN_LENGTH, baseline_of, read, watch
from router.errors import SpecError
from router.quantity import Unreadable, fraction

BASELINE_INTERVALS = 20


@click.command()
@click.argument("file", type=click.File())
@click.option("--baseline", metavar="1%", help="The rate before any change; else of the first intervals.")
@click.option(
    "--first",
    type=click.IntRange(min=1),
    default=BASELINE_INTERVALS,
    show_default=True,
    help="Intervals that the baseline is taken from, and that are not watched.",
)
@click.option(
    "--run-length",
    type=click.FloatRange(min=1, min_open=True, max=1e12),
    default=RUN_LENGTH,
    show_default=True,
    help="Intervals to a false alarm, on average, at least.",
)
@json_option
def degradation(file: TextIO, baseline: str | None, first: int, run_length: float, as_json: bool) -> int:
    """Whether the rate of an event has slowly risen since a promotion.

    FILE has one interval a line, the oldest first: {"requests": 1200, "events": 3}; "-" reads what is piped in. With
    held_requests and held_events of a control that is held back, no baseline is needed. Exits 0 when no rise is shown,
    1 when one is, 2 on trouble.
    """
    try:
        rows = read(file, file.name)
    except SpecError as problem:
        raise click.UsageError(str(problem)) from problem
    rate, skipped = None, 0
    if not rows[0].held_requests:
        rate, skipped = _baseline(baseline) if baseline else (baseline_of(rows[:first]), first)
        if rate is None:
            raise click.UsageError(f"--first {first}: expected enough requests to tell a rate below 100 %")
    elif baseline:
        raise click.UsageError("--baseline: expected none where a control is held back")
    answer = watch(rows[skipped:], rate, run_length) | {"skipped": skipped}
    click.echo(json.dumps(answer) if as_json else terminal.folded(text_of(answer)))
    return NO if answer["shown"] else YES


def _baseline(text: str) -> tuple[float, int]:
    try:
        return fraction(text), 0
    except Unreadable as problem:
        raise click.UsageError(f"--baseline: {problem}") from problem


def text_of(answer: Mapping[str, Any]) -> str:
    """The answer as two sentences."""
    rate = f"{answer['events'] / answer['requests']:.3%}" if answer["requests"] else "n/a"
    against = "the control held back"
    if answer["baseline"] is not None:
        against = f"a baseline of {round(answer['baseline'] * PPM) / 10_000:g} %"
    found = "no degradation is shown"
    if answer["shown"]:
        at, began = (answer[key] + answer["skipped"] + 1 for key in ("at", "began"))
        found = f"a degradation is shown in interval {at}; it most likely began in interval {began}"
    evidence = "n/a" if answer["log_e"] is None else f"{answer['log_e']:.2f}"
    return (
        f"{found}: {answer['events']:,} events in {answer['requests']:,} requests ({rate}) against {against}\n"
        f"log e {evidence} of {answer['needed']:.2f}; without any change, one false alarm in {answer['run_length']:,.0f} "
        "intervals on average, or fewer"
    )
