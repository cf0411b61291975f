"""The command that looks ahead: what to expect of an experiment before it starts. It speaks to nobody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from router.bucketing import PPM
from router.cli import render, terminal
from router.cli.exits import NO, NOT_DECIDED, YES
from router.cli.files import json_option, read_files
from router.document import Document, load
from router.errors import Problem, SpecError, nearest
from router.experiment import Experiment
from router.files import parse_documents
from router.forecast import forecast
from router.prospect import Baseline, is_share, tested_as
from router.quantity import Unreadable, percent_ppm, plain
from router.sizes import POWER

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))
HEAD = ("if the treatment is", "promoted", "rolled back", "control kept", "undecided", "decided after")


def _rate(text: str) -> float:
    value = percent_ppm(text) / PPM
    if value == 1:
        raise Unreadable("a percentage below 100%", text)
    return value


def _above_zero(text: str) -> float:
    value = plain(text)
    if value == 0:
        raise Unreadable("a number above 0, in the metric's own unit", text)
    return value


def _share(text: str) -> float:
    return percent_ppm(text) / PPM


def _named(
    option: str, words: Iterable[str], read: Callable[[str], float], known: Iterable[str]
) -> dict[str, float]:
    """``NAME=VALUE`` by name."""
    values = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known:
            hint = nearest(name, known)
            raise click.UsageError(
                f"{option}: expected NAME=VALUE of one of {', '.join(known)}, found {word!r}"
                + (hint and f" - {hint}")
            )
        try:
            values[name] = read(text.strip())
        except Unreadable as problem:
            raise click.UsageError(f"{option} {name}: {problem}") from problem
    return values


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--units-per-hour",
    type=click.FloatRange(min=0, min_open=True, max=1e12),
    required=True,
    help="Units that the route has not seen before, in an hour, of all its traffic.",
)
@click.option(
    "--rate", "rates", multiple=True, metavar="NAME=5%", help="Share of control's units with the event."
)
@click.option(
    "--sd", "sds", multiple=True, metavar="NAME=120", help="Standard deviation of one unit's value."
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="NAME=80",
    help="Control's average of one unit's value, or of its events.",
)
@click.option(
    "--reported", multiple=True, metavar="NAME=40%", help="Share of units that report; 100% if not given."
)
@json_option
def estimate(
    file: Path,
    units_per_hour: float,
    rates: tuple[str, ...],
    sds: tuple[str, ...],
    levels: tuple[str, ...],
    reported: tuple[str, ...],
    as_json: bool,
) -> int:
    """Before the start: how long it takes, and how likely each verdict is.

    Exits 0 if a treatment that deserves it is promoted in time with a chance of at least 80 %, 1 if not, 3 if it cannot
    be said because a standard deviation is missing.
    """
    if math.isnan(units_per_hour):
        raise click.UsageError("--units-per-hour: expected a number above 0, found 'nan'")
    spec = _experiment(file).spec()
    metrics = spec["metrics"]
    by_rate = _named("--rate", rates, _rate, [m["name"] for m in metrics if is_share(m)])
    by_sd = _named("--sd", sds, _above_zero, [m["name"] for m in metrics if tested_as(m) == "number"])
    by_level = _named("--level", levels, _above_zero, [m["name"] for m in metrics if not is_share(m)])
    names = [metric["name"] for metric in metrics]
    by_report = _named("--reported", reported, _share, names)
    baselines = {
        name: Baseline(by_rate.get(name), by_sd.get(name), by_level.get(name), by_report.get(name, 1.0))
        for name in names
    }
    answer = forecast(spec, units_per_hour, baselines)
    click.echo(json.dumps(answer) if as_json else terminal.folded(text_of(answer)))
    if answer["power"] is None:
        return NOT_DECIDED
    return YES if answer["power"] >= POWER else NO


def _experiment(file: Path) -> Experiment:
    """The one experiment of a file; its route may stand elsewhere."""
    documents = [document for read in read_files((file,)) for document in load(read["text"], read["name"])]
    experiments = parse_documents(documents, _named_elsewhere(documents)).experiments
    if len(experiments) != 1:
        raise SpecError([Problem("", "one experiment", f"{len(experiments)}", file=str(file))])
    return next(iter(experiments.values()))[0]


def _named_elsewhere(documents: Sequence[Document]) -> dict[str, set[str]]:
    """What an experiment names may stand in other files: a forecast asks for none of it."""
    written = [document.data for document in documents if "experiment" in document.data]
    return {
        "route": {str(data["route"]) for data in written if "route" in data},
        "layer": {str(data["layer"]) for data in written if "layer" in data},
        "holdout": {str(name) for data in written for name in data.get("holdouts", ())},
    }


def text_of(answer: Mapping[str, Any]) -> str:
    """The forecast as prose and tables."""
    until = "deadline" if answer["deadline"] else "end of what is looked at, since the file names no deadline"
    lines = [
        f"{answer['experiment']} ({answer['kind']}), {answer['units_per_hour']:,.10g} new units an hour, "
        f"until the {until}: {duration(answer['horizon_ms'])}",
        _headline(answer),
        "",
        _ramp(answer["ramp"]),
        "",
        render.table(HEAD, [_scenario(row, answer["metrics"]) for row in answer["scenarios"]]),
        "",
        render.table(
            ("metric", "today", "least harm shown", "least margin proven"), map(_metric, answer["metrics"])
        ),
        "each with a chance of 80 % by the end; n/a: not within the end, or behind the test's gate",
        *_yardsticks(answer),
    ]
    lines += [f"note: {row['name']}: {row['note']}" for row in answer["metrics"] if row["note"]]
    lines += [f"assumed: {line}" for line in answer["assumed"]]
    lines += [f"missing: {line}" for line in answer["missing"]]
    return "\n".join(lines)


def _headline(answer: Mapping[str, Any]) -> str:
    if answer["power"] is None:
        return "nothing can be said of verdicts: see what is missing below"
    truth = "better by the mde" if answer["kind"] == "ab" else "as good as the control"
    return (
        f"a treatment that is {truth} is promoted with a chance of {chance(answer['power'])}, "
        f"decided after {duration(answer['expected_ms'])} on average"
    )


def _ramp(steps: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            render.share(step["traffic"]),
            duration(step["begins_ms"]),
            duration(step["met_ms"]),
            f"{step['units']:,}",
            chance(step["rolled_back"]),
        )
        for step in steps
    ]
    return render.table(
        (
            "step",
            "begins after",
            "met after",
            "treatment units",
            "rolled back by then (goal worse by 2 margins)",
        ),
        rows,
    )


def _scenario(row: Mapping[str, Any], metrics: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    metric = next(metric for metric in metrics if metric["name"] == row["metric"])
    truth = (
        "as good"
        if not row["effect"]
        else f"{row['metric']} {row['name']} ({size(metric, abs(row['effect']))})"
    )
    chances = (chance(row[key]) for key in ("promote", "roll_back", "keep", "undecided"))
    return truth, *chances, duration(row["decided_ms"])


def _metric(row: Mapping[str, Any]) -> tuple[str, ...]:
    today = render.UNKNOWN
    if row["rate"] is not None:
        today = f"{row['rate'] * 100:.4g} %"
    elif row["sd"] is not None:
        today = f"sd {row['sd']:.4g}"
    elif row["level"] is not None:
        today = f"{row['level']:.4g}"
    return row["name"], today, size(row, row["least_harm"]), size(row, row["least_margin"])


def _yardsticks(answer: Mapping[str, Any]) -> list[str]:
    """What other samples would ask, of the metrics that are tested by an estimate."""
    rows = [
        (
            row["name"],
            f"{row['fixed_units'][0]:,} + {row['fixed_units'][1]:,}",
            chance(row["fixed_power"]),
            f"{row['method_units']:,}",
            size(row, row["two_sided_sd"]),
        )
        for row in answer["metrics"]
        if row["fixed_units"] is not None
    ]
    head = (
        "metric",
        "a fixed sample",
        "its power at the end",
        f"{answer['method']}, treatment",
        "two-sided sd",
    )
    if not rows:
        return []
    about = "units of control + treatment for one look with a chance of 80 %; units on average; sd of a normal mixture"
    return ["", render.table(head, rows), about]


def size(metric: Mapping[str, Any], value: float | None) -> str:
    """A difference without its sign, in the metric's unit."""
    if value is None:
        return render.UNKNOWN
    if metric["relative"]:
        return f"{value * 100:.2g} %"
    return f"{value * 100:.2g} pp" if metric["share"] else f"{value:.3g}"


def chance(value: float | None) -> str:
    """A chance in whole percent; never rounded to certainty."""
    if value is None:
        return render.UNKNOWN
    if 0 < value < 0.01 or 0.99 < value < 1:
        return "<1 %" if value < 0.5 else ">99 %"
    return f"{value * 100:.0f} %"


def duration(ms: float | None) -> str:
    """A stretch of time in its two largest units: ``1 d 7 h``."""
    if ms is None:
        return render.UNKNOWN
    left = round(ms)
    parts: list[str] = []
    for unit, length in UNITS:
        number, left = divmod(left, length)
        if number or (parts and unit != "s"):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"
