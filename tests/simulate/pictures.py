"""Which picture shows which claim: one for each, drawn from the kept results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulate import svg
from tests.simulate.peers import PEERS
from tests.simulate.results import Result, Row
from tests.simulate.svg import Bar


def _found(result: Result, *texts: str) -> Row:
    """The row that speaks of all these."""
    return next(row for row in result.rows if all(text in row.what for text in texts))


def _bars(result: Result, *ours: tuple[str, ...]) -> list[Bar]:
    """A bar for each: its label, and the texts that find its row."""
    rows = [(label, _found(result, *texts)) for label, *texts in ours]
    return [(label, row.measured, row.error, True) for label, row in rows]


def _peers(name: str) -> list[Bar]:
    return [(peer, value, 0.0, False) for peer, value in PEERS[name]]


def _strips(result: Result, title: str, about: str) -> str:
    found: dict[str, list[Row]] = {}
    for row in result.rows:
        label = row.what if row.column == "wrong claims" else row.column
        found.setdefault(label, []).append(row)
    return svg.strips(title, about, found)


def wrong_claims(result: Result) -> str:
    """Every formula in every world."""
    return _strips(
        result,
        "The formulas claim what is false no more often than promised",
        "Each dot a world and an α: share of runs with a false claim ÷ α",
    )


def wrong_claims_of_others(result: Result) -> str:
    """Tests with data of their own."""
    return _strips(
        result,
        "Tests with data of their own keep their promise too",
        "Each dot an α (.05, .01): share of runs with a false claim ÷ α",
    )


def wrong_verdicts(result: Result) -> str:
    """The router in every world."""
    return _strips(
        result,
        "The router's verdicts keep their promise",
        "Each dot a world: share of runs with a false verdict ÷ what was promised",
    )


def wrong_verdicts_by_kind(result: Result) -> str:
    """Every kind of metric, in all that it may claim."""
    by_kind: dict[str, list[Row]] = {}
    for row in result.rows:
        by_kind.setdefault(row.what, []).append(row)
    return svg.strips(
        "Every kind of metric keeps the promise of its verdicts",
        "Dots: rollback, superiority, promotion, distrust; wrong runs ÷ promised",
        by_kind,
    )


def traps(result: Result) -> str:
    """The usual comparisons and ours."""
    rows: list[Bar] = [(row.what, row.measured, row.error, row.promised is not None) for row in result.rows]
    about = "No effect anywhere, one and the same test: share of runs with a false claim"
    return svg.bars("What lanes, windows and units are for", about, rows, (0.05, "promised: 5 %"))


def peeking(result: Result) -> str:
    """A fixed test at every look, and ours."""
    lines = {name: (course, "grid" in name) for name, course in result.curves.items()}
    about = "A/A: share of runs with a false claim so far, .10 against .10, 5 % asked for"
    return svg.curves(
        "Looking often costs a fixed test its promise", about, lines, "units an arm", (0.05, "promised: 5 %")
    )


def units(result: Result) -> str:
    """Mean units at the MDE."""
    rows = _bars(
        result,
        ("MDE grid (default)", "MDE grid", "+1 pp"),
        ("half-normal", "half-normal", "+1 pp"),
        ("normal, two-sided", "normal two-sided", "+1 pp"),
    )
    about = ".10 → .11: mean units until a decision ÷ what a fixed test needs for a power of 80 %"
    return svg.bars(
        "Units until an open-ended decision", about, rows + _peers("units at the MDE"), (1.06, "target 1.06")
    )


def horizon_units(result: Result) -> str:
    """Mean units with a horizon."""
    rows = _bars(
        result,
        ("SPRT, effect = MDE", "SPRT: +1 pp, mean"),
        ("SPRT, no effect", "SPRT: +1 pp planned"),
        ("continuous O'Brien-Fleming", "continuous", "+1 pp, mean"),
        ("Lan-DeMets, 20 looks", "20 looks", "+1 pp, mean"),
    )
    about = ".10 → .11: mean units ÷ what a fixed test needs for a power of 80 %"
    return svg.bars(
        "A horizon saves a quarter of the units", about, rows + _peers("horizon, units"), (0.76, "target .76")
    )


def harmful_canary(result: Result) -> str:
    """Requests to a rollback."""
    rows = _bars(result, ("exact conditional test", "share 0.05", "1.0% → 2.0%"))
    about = "Errors 1 → 2 %, canary share 5 %, α 1 %: mean canary requests until it is rolled back"
    return svg.bars(
        "A harmful canary is seen soon", about, rows + _peers("1 → 2 %, share .05"), (1600, "target 1,600")
    )


def harmless_canary(result: Result) -> str:
    """Rolled back wrongly."""
    rows = _bars(
        result,
        ("exact conditional test, p 1 %", "share 0.05, 1.0% in both"),
        ("exact conditional test, p .1 %", "share 0.05, 0.1% in both"),
    )
    about = "Errors alike in both arms, 400 looks: share of canaries that are rolled back"
    return svg.bars(
        "A harmless canary is left alone",
        about,
        rows + _peers("rolled back wrongly"),
        (0.01, "promised: 1 %"),
    )


def good_canary(result: Result) -> str:
    """Requests to a promotion."""
    rows = _bars(
        result,
        ("no error, zero-errors rule", "errors 0.0%"),
        ("errors .1 %, zero-errors rule", "errors 0.1%"),
        ("errors 1 %, mixture, share 5 %", "share 0.05, mixture: canary"),
        ("errors 1 %, mixture, share 25 %", "share 0.25, mixture: canary"),
        ("errors 1 %, SPRT, share 5 %", "share 0.05, canary SPRT: canary"),
    )
    about = "Mean canary requests until it may be promoted; margin 1 pp, or twice the rate"
    return svg.bars("A good canary is promoted soon", about, rows + _peers("promotion, share .05"))


def mismatch(result: Result) -> str:
    """Invented mismatches."""
    lines = {name: (course, "e-value" in name) for name, course in result.curves.items()}
    about = "50/50 as asked: share of runs with an alarm so far"
    return svg.curves(
        "A mismatch is not invented", about, lines, "units of both arms", (0.001, "promised: .1 %")
    )


def coverage(result: Result) -> str:
    """Simultaneous coverage."""
    lines = {
        name.partition(",")[0]: (course, "always" in name)
        for name, course in result.curves.items()
        if "1 pp" in name
    }
    about = "Difference of 1 pp: share of runs whose interval has held at every look so far"
    return svg.curves(
        "The interval holds at all looks at once", about, lines, "units an arm", (0.95, "promised: 95 %")
    )


def multiplicity(result: Result) -> str:
    """Any false claim."""
    rows: list[Bar] = [
        (row.what.partition(":")[0], row.measured, row.error, not row.what.startswith("uncorrected"))
        for row in result.rows
    ]
    about = "3 treatments × 6 metrics, nothing true, 200 looks: share of runs with any false claim"
    return svg.bars("Many metrics do not make a false claim likely", about, rows, (0.05, "promised: 5 %"))


def degradation(result: Result) -> str:
    """Until a doubling is seen."""
    rows = _bars(
        result,
        ("Shiryaev-Roberts", "Shiryaev-Roberts", "doubling"),
        ("CUSUM, same level", "CUSUM", "doubling"),
    )
    about = "Errors 1 → 2 % after a promotion, one false alarm in 100,000 outcomes or more: outcomes until it is seen"
    return svg.bars("A slow degradation is seen", about, rows, (1400, "target 1,400"))


# Study -> its pictures.
OF: dict[str, tuple[Callable[[Result], str], ...]] = {
    "error_rates": (wrong_claims,),
    "other_tests": (wrong_claims_of_others,),
    "through_router": (wrong_verdicts,),
    "kinds": (wrong_verdicts_by_kind,),
    "traps": (traps,),
    "efficiency": (peeking, units),
    "horizon": (horizon_units,),
    "canary": (harmful_canary, harmless_canary),
    "promotion": (good_canary,),
    "mismatch": (mismatch,),
    "coverage": (coverage,),
    "multiplicity": (multiplicity,),
    "degradation": (degradation,),
}


def draw(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    """By study, its pictures by name."""
    return {
        result.name: {draw_one.__name__: draw_one(result) for draw_one in OF.get(result.name, ())}
        for result in results
    }
