"""The table of methods: each with its function, what it promises and what of it was measured.

To add a method: one row of METHODS, with the study that measures it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.simulate.peers import given, shown
from tests.simulate.results import Result, Row

FORMULAS, OWN = "error_rates", "other_tests"
SCORE = "A, B, null, unit"


@dataclass(frozen=True, slots=True)
class Method:
    """One row.

    Attributes:
        name: in a statistician's words.
        function: where it is.
        arguments: in order; data first, then tuning.
        guarantee: exact, asymptotic or for a fixed horizon.
        study: that measures it; empty where nothing is to be simulated.
        rows: of the study: what is written, and its row; or one column or line of wrong claims, the worst of which counts.
        else_: written where no study measures it.
    """

    name: str
    function: str
    arguments: str
    guarantee: str
    study: str = ""
    rows: Mapping[str, str] | str = ""
    else_: str = ""


METHODS = (
    Method("MDE-grid one-sided mixture (default)", "`grid.log_evalue`", SCORE, "asymptotic, behind a gate",
           FORMULAS, "MDE grid"),
    Method("one-sided mixture (half-normal)", "`half_normal.log_evalue`", "A, B, null, variance",
           "asymptotic, behind a gate; a read-out", FORMULAS, "half-normal"),
    Method("two-sided normal mixture", "`normal.log_evalue`, `.interval`", "A, B, null, variance",
           "asymptotic, behind a gate", FORMULAS, "normal, two-sided"),
    Method("t version (small n)", "`student.log_evalue`, `half_student`", "effect, se, freedom, units, null, prior",
           "exact for normal values; a read-out", OWN, "t version one-sided, from 2 units an arm"),
    Method("anytime p", "`evalues.anytime_p`", "highest log e so far", "as its test", else_="exp(−maximum): as its test"),
    Method("exact conditional test (rates, rare shares, converters)", "`counts.log_evalue`, `.interval`",
           "(x0, x1, share) by stratum, null, mixture", "exact", FORMULAS, "counts, exact"),
    Method("its two-sided form", "`beta.log_evalue`, `.interval`", "x0, x1, share", "exact", FORMULAS,
           "Beta, exact, two-sided"),
    Method("zero-errors rule", "`rare.log_evalue`", "n, x, margin", "exact", FORMULAS, "zero errors, exact"),
    Method("ratio of sums, delta method", "`ratios.difference`, then the grid", "six sums of each arm",
           "asymptotic, variance over units", FORMULAS, "grid, ratio"),
    Method("share of reports, several of one unit", "`ratios.share_difference`, then the grid", "six sums of each arm",
           "asymptotic, variance over units", FORMULAS, "grid, share of reports"),
    Method("CUPED, missing covariate", "`cuped.difference`, then the grid", "nine sums of each arm", "asymptotic", OWN,
           "CUPED, covariate missing in a fifth"),
    Method("winsorised mean", "`means.difference` of capped values, then the grid", "n, sum, squares of each arm",
           "asymptotic; of the capped mean", OWN, "winsorised mean, lognormal σ 2, share .05"),
    Method("ordinal: mean score", "`ordinal.mean_score`, then the grid", "units by category", "asymptotic", OWN,
           "rating, mean score"),
    Method("ordinal: win probability (DeLong)", "`ordinal.win_probability`", "units by category",
           "asymptotic; a read-out", OWN, "rating, win probability"),
    Method("relative margin, linear form", "`claims.non_inferiority(relative=True)`, then the grid", "better, margin",
           "asymptotic, no bias of a ratio", OWN, "relative margin of 20 %, just reached"),
    Method("strata: evidence adds", "`strata.gather`", "estimates", "as the test of each", OWN,
           "strata of variances 1, 10, 100"),
    Method("quantile exceedance of a frozen limit", "`frozen.quantile`, then counts or proportions", "histogram, share",
           "as the test of shares", else_="a share of units: as the exact conditional test and the grid"),
    Method("safe log-rank", "`logrank.log_evalue`", "at risk and events by age, null, mixture",
           "exact when all enter together, else asymptotic", OWN, "safe log-rank, units joining"),
    Method("Lan-DeMets, exact boundaries (O'Brien-Fleming, Pocock, power, Hwang-Shih-DeCani)",
           "`group_sequential.boundary`", "times, alpha, sides, spending, parameter", "fixed horizon", "horizon",
           {"wrong": "Lan-DeMets O'Brien-Fleming, 20 looks: +1 pp, wrong",
            "power": "Lan-DeMets O'Brien-Fleming, 20 looks: +1 pp, power",
            "units ÷ n80": "Lan-DeMets O'Brien-Fleming, 20 looks: +1 pp, mean units ÷ n80"}),
    Method("unlimited looks, closed form (continuous O'Brien-Fleming)", "`obrien_fleming.boundary`, `.log_p`",
           "A, horizon, alpha, last", "fixed horizon; over-run spends what is left", "horizon",
           {"wrong": "continuous O'Brien-Fleming: +1 pp, wrong", "power": "continuous O'Brien-Fleming: +1 pp, power",
            "units ÷ n80": "continuous O'Brien-Fleming: +1 pp, mean units ÷ n80"}),
    Method("futility: β spending, conditional power", "`group_sequential.futility_boundary`, `.conditional_power`",
           "times, upper, drift, beta; z, t, drift, critical", "not binding; a read-out",
           else_="giving up promotes nothing; by recursion, and East's published value"),
    Method("SPRT against the MDE", "`sprt.log_evalue`, `.thresholds`", "A, B, null, unit; alpha, beta",
           "asymptotic; Wald's α/(1 − β)", "horizon",
           {"wrong": "SPRT: +1 pp, wrong", "power": "SPRT: +1 pp, power", "units ÷ n80": "SPRT: +1 pp, mean units ÷ n80"}),
    Method("canary SPRT", "`sprt.rate_log_evalue`, `.thresholds`", "events by stratum, ratio, null; alpha, beta",
           "exact up to Wald's α/(1 − β)", "promotion",
           {"promoted at the margin": "share 0.25, canary SPRT: promoted at the margin",
            "promoted": "share 0.25, canary SPRT: promoted"}),
    Method("sample ratio mismatch", "`srm.log_evalue`", "(units, shares) by stratum, concentration", "exact", "mismatch",
           {"invented": "50/50: a mismatch invented"}),
    Method("Bonferroni (harm)", "`many.bonferroni`", "claims, alpha", "exact, any dependence", "multiplicity",
           {"any false claim": "Bonferroni on e-values: any false claim"}),
    Method("Holm (goals)", "`many.holm`", "log e, alpha", "exact, any dependence", "multiplicity",
           {"any false claim": "Holm on e-values: any false claim"}),
    Method("closure by averaging (shown)", "`many.closed`", "log e", "exact, any dependence", "multiplicity",
           {"any false claim": "closure by averaging: any false claim"}),
    Method("e-BH (observed metrics, segments)", "`many.e_bh`", "log e, alpha",
           "false discovery rate, any dependence, at one moment", "multiplicity",
           {"any false claim": "e-BH: any false claim"}),
    Method("error budget over attempts", "`many.attempt_alpha`", "alpha, attempt", "exact", else_="the router gives α, α/2, α/4, …: all attempts together less than 2α"),
    Method("Manski, Lee", "`missing.manski`, `.lee`", "reports, totals, bounds; counts by value, units",
           "whatever the silent say; if reporting changes one way", else_="bounds, by enumeration; read-outs"),
    Method("labels sampled with known probability", "`missing.inverse_probability`, `ratios.share_difference`",
           "weighted sums", "asymptotic", OWN, "labels sampled with known chances"),
    Method("e-detector, Shiryaev-Roberts", "`detectors.shiryaev_roberts`", "state, log ratio", "run length ≥ A",
           "degradation", {"run length, A = 100,000": "Shiryaev-Roberts: outcomes to a false alarm, cut at 1,000,000",
                           "delay at ×2": "Shiryaev-Roberts: outcomes until a doubling is seen"}),
    Method("e-detector, CUSUM", "`detectors.cusum`", "state, log ratio", "run length ≥ A", "degradation",
           {"run length, A = 100,000": "CUSUM: outcomes to a false alarm, cut at 1,000,000",
            "delay at ×2": "CUSUM: outcomes until a doubling is seen"}),
    Method("posterior, P(beats), expected loss, estimate at stopping", "`readout`", "effect, se, prior",
           "none: never a trigger", else_="looked at often, P(beats) errs in most runs: nothing reads it"),
    Method("planning", "`planning`, `planning_rare`; `pointsman estimate`", "baseline, effect, alpha, share, traffic",
           "forecasts; exact for counts", else_="verdicts of real tests within .05 (`tests/router/test_forecast.py`)"),
)  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """All methods, with what their studies found."""
    kept = {result.name: result for result in results}
    lines = ["| method | function | arguments | guarantee | measured |", "|---|---|---|---|---|"]
    for method in METHODS:
        measured = "; ".join(_measured(method, kept[method.study].rows)) if method.study else method.else_
        lines.append(
            f"| {method.name} | {method.function} | {method.arguments} | {method.guarantee} | {measured} |"
        )
    return "\n".join(lines)


def _measured(method: Method, rows: Sequence[Row]) -> Iterator[str]:
    if isinstance(method.rows, str):
        own = [row for row in rows if method.rows in (row.column, row.what)]
        for promise in sorted({row.promised for row in own if row.promised is not None}, reverse=True):
            worst = max(row.measured for row in own if row.promised == promise)
            yield f"wrong {shown(worst)} of {given(promise)}"
        return
    found = {row.what: row for row in rows}
    for words, what in method.rows.items():
        row = found[what]
        limit = (
            "" if row.promised is None else f" ({'≥' if row.side == 'least' else '≤'} {given(row.promised)})"
        )
        yield f"{words} {shown(row.measured)}{limit}"
