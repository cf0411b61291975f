"""Notes: what a statistician reads of one metric's row of evidence, as short lines. Nothing here decides.

Made of the stored row alone, so that the page and the command line say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

UNKNOWN = "n/a"
Row = Mapping[str, Any]

CLAIMS = {
    "harm": "worse beyond its tolerance",
    "superiority": "better",
    "non_inferiority": "not worse by its margin",
}


def tests(row: Row) -> list[dict[str, str]]:
    """The claims that decide: what is asked, its number now, the highest so far, what it needs, and an anytime p."""
    rows = []
    for test in ("harm", row["deciding"]):
        needed = row["threshold"]["harm" if test == "harm" else "promote"]
        rows.append(
            {
                "claim": CLAIMS[test],
                "now": f"{row['log_e'][test]:.2f}",
                "highest": f"{row['max_log_e'][test]:.2f}",
                "needed": f"{needed:.2f}",
                "p": _p(row["anytime_p"][test]),
            }
        )
    return rows


def notes(row: Row) -> list[str]:
    """One line for each read-out that there is."""
    beside = row["beside"]
    return [
        *_method(row["method"]),
        *_belief(row, beside.get("belief")),
        *_stopped(row),
        *_bounds(row, beside),
        *_levels(beside),
        *_ratios(beside),
        *_parts(row, beside),
    ]


def difference(row: Row, value: float | None) -> str:
    """A difference in the metric's unit."""
    if value is None:
        return UNKNOWN
    if not (row["relative"] or row["share"]):
        return f"{value:+.4g}"
    return f"{value * 100:+.2f} {'%' if row['relative'] else 'pp'}"


def _interval(row: Row, ends: Sequence[float]) -> str:
    return f"[{', '.join(difference(row, end) for end in ends)}]"


def _p(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _method(method: Row) -> Iterator[str]:
    if method["test"] == "sprt":
        yield (
            f"log likelihood ratio {method['log_likelihood_ratio']:.2f}, "
            f"gives up at {method['accept']:.2f}, shown at {method['reject']:.2f}"
        )
    if method["test"] == "horizon":
        bound = f"{method['bound']:.2f}" if "bound" in method else UNKNOWN
        line = f"{min(1.0, method['time']):.0%} of the planned units, z {method['z']:.2f}, bound {bound}"
        if "power" in method:
            line += (
                f", chance to be shown by the end if the effect is what it is tuned to {method['power']:.0%}"
            )
        if "futile_below" in method:
            line += f"; futile below {method['futile_below']:.2f}, which ends nothing"
        yield line if method["look"] else f"{line}; not a planned look"


def _belief(row: Row, belief: Row | None) -> Iterator[str]:
    if belief is not None:
        yield (
            f"chance to be better {belief['beats']:.1%}, posterior {difference(row, belief['mean'])} "
            f"(normal prior around no effect, sd {difference(row, belief['prior_sd']).lstrip('+')}; never a trigger)"
        )


def _stopped(row: Row) -> Iterator[str]:
    stopped = row["stopped"]
    if stopped is not None:
        yield (
            f"at stopping {difference(row, stopped['biased'])}, biased away from zero; "
            f"shrunken {difference(row, stopped['shrunken'])}"
        )
    if row["planned_interval"] is not None:
        yield f"interval of this planned look {_interval(row, row['planned_interval'])}"


def _bounds(row: Row, beside: Row) -> Iterator[str]:
    if beside.get("manski"):
        yield f"whatever silent units would say {_interval(row, beside['manski'])} (Manski)"
    if beside.get("lee"):
        yield f"if an arm only ever silences {_interval(row, beside['lee'])} (Lee)"
    normal = beside.get("if_normal")
    if row["gated"] and normal is not None and normal["interval"] is not None:
        yield f"if values are normal {_interval(row, normal['interval'])} (t, 95 %)"


def _levels(beside: Row) -> Iterator[str]:
    if beside.get("win_probability") is not None:
        yield (
            f"a treatment unit rates higher with chance {beside['win_probability']:.1%} "
            f"(s.e. {beside['win_probability_se']:.1%})"
        )
    quantiles = beside.get("quantiles")
    if (
        quantiles is not None
        and quantiles["control"][0] is not None
        and quantiles["treatment"][0] is not None
    ):
        sides = [
            " / ".join(f"{value:,.4g}" for value in quantiles[side]) for side in ("treatment", "control")
        ]
        yield f"p50 / p90 / p99: {sides[0]} against {sides[1]}"
    labelled = beside.get("labelled")
    if labelled is not None and labelled["control"] and labelled["treatment"]:
        texts = [f"{mean:.4g} (s.e. {se:.2g})" for mean, se in (labelled["treatment"], labelled["control"])]
        yield f"over all units, from sampled labels: {texts[0]} against {texts[1]}"


def _ratios(beside: Row) -> Iterator[str]:
    lift = beside.get("lift")
    if lift is not None and lift["interval"] is not None:
        ends = ", ".join(f"{end:+.1%}" for end in lift["interval"])
        yield f"relative to control {lift['estimate']:+.1%} [{ends}] (normal mixture, 95 % at all looks)"
    if beside.get("rate_ratio") is not None:
        low, high = beside["rate_ratio"]
        most = "no end" if high is None else f"{high:.2f}"
        yield f"ratio of rates [{low:.2f}, {most}] (exact, 95 % at all looks)"


def _parts(row: Row, beside: Row) -> Iterator[str]:
    strata = beside.get("strata", ())
    if len(strata) > 1:
        parts = [
            f"{part['stratum']} {difference(row, part['estimate'])}"
            + (f" (waits for {part['missing']})" if part["missing"] else "")
            for part in strata
        ]
        yield f"by stratum: {', '.join(parts)}"
    for segment in row["segments"]:
        if segment["estimate"] is not None:
            named = "differs" if segment["differs"] else "no difference shown"
            yield f"segment {segment['segment']}: {difference(row, segment['estimate'])}, {named}"
    if "exploring" in row:
        named = "the arms differ" if row["exploring"]["differs"] else "no difference shown"
        yield f"only observed: {named} (e-BH at 5 %)"
