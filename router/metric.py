"""Metric kinds: how the sums of two arms are compared, and by which tests.

One row of KINDS owns everything about a kind: its readings, its interval and its four tests, and what a file and an
outcome may say. Harm reads *running* sums (windows still open count); promotion reads *closed* ones. The file's ``kind``
picks the row, never the data. The tests themselves stand in ``router.claims``.

To add a kind: one row, its cases in tests/router/test_metric.py, its line in config/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router import claims
from router.claims import Shown, Test, arm_counts
from router.outcome import CATEGORY, COUNT, NUMBER, SHARE, TRUTH, Takes
from router.reading import (
    ADJUSTED_MEAN,
    BINARY,
    CATEGORIES,
    COUNTS,
    FIRST_EVENTS,
    MEAN,
    RATIO,
    SHARE_OF_REPORTS,
    Reading,
    Stratum,
)

CONTINUOUS_UNITS = 1000  # per arm over all strata before a continuous metric may promote
RARE_QUANTILE = 0.9  # from here on few units exceed a baseline's quantile, and the exact tests see more

Metric = Mapping[str, Any]


# Ways in which several reports of one unit become its value, the default first.
ANY = ("any", "first", "last", "sum", "mean", "largest")
AVERAGE = ("mean", "any", "first", "last", "sum", "largest")
SUM = ("sum", "any", "first", "last", "mean", "largest")
LARGEST = ("largest", "first", "last", "sum", "mean")


def always(metric: Metric) -> bool:
    """Exact whatever the file says."""
    return True


def never(metric: Metric) -> bool:
    """Asymptotic whatever the file says."""
    return False


def beyond_a_far_quantile(metric: Metric) -> bool:
    """Exact where few units exceed the limit, or nobody has said how many do."""
    return bool(metric.get("quantile", 1.0) >= RARE_QUANTILE)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of metric: its readings, its tests and its interval.

    Kinds that are ``exact`` for a metric speak without a gate; of all others ``units`` of each arm with a closed window
    must be there before a promotion. ``early``: promotion too reads running sums. ``beside`` is shown with the metric
    and decides nothing. Closed values also go into a histogram where ``quantiles`` are shown or frozen.

    What y is counted over (``per``): the unit, its reports, its requests or, for a first event, its age. A ``settled``
    kind has the same value running and closed; all others run as a ratio of sums over reports.

    What its file may say: a ``share`` has its differences in percentage points. ``values`` are the ways in which several
    reports of one unit become its value, ``absent`` what no report may mean, the first of each by default. ``keys``
    belong to it alone, and of each tuple of ``required`` just one is written. ``only_relative`` kinds know no difference
    but a share of control's level. ``adjusted`` is its reading of closed windows with a covariate, ``weighted`` the one
    of sampled labels.
    """

    name: str
    about: str
    running: Reading
    closed: Reading
    harm: Test = claims.grid_harm
    non_inferiority: Test = claims.grid_non_inferiority
    superiority: Test = claims.grid_superiority
    futility: Test = claims.grid_futility
    interval: Shown = claims.grid_interval
    beside: Callable[[Sequence[Stratum], Metric], dict[str, Any]] | None = None
    exact: Callable[[Metric], bool] = never
    units: int = 0
    early: Callable[[Metric], bool] = never
    per: str = "unit"
    settled: bool = False
    quantiles: bool = False
    share: bool = False
    takes: Takes = NUMBER
    values: tuple[str, ...] = AVERAGE
    absent: tuple[str, ...] = ("missing", "zero")
    keys: tuple[str, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()
    only_relative: bool = False
    adjusted: Reading | None = None
    weighted: Reading | None = None

    def reading(self, metric: Metric, key: str) -> Reading:
        """How a metric of this kind is summed: ``r`` running, ``c`` closed."""
        if metric.get("sampled") and self.weighted is not None:
            return self.weighted
        if key == "r":
            return self.running
        return self.adjusted if metric.get("covariate") and self.adjusted is not None else self.closed

    def promoting(self, strata: Sequence[Stratum], metric: Metric) -> dict[str, float]:
        """The tests that may promote; all 0 while an arm has fewer units than promotion asks."""
        if self.units_missing(strata, metric):
            return dict.fromkeys(("non_inferiority", "superiority", "futility"), 0.0)
        reading = self.reading(metric, self.promotes_on(metric))
        return {
            "non_inferiority": self.non_inferiority(reading, strata, metric),
            "superiority": self.superiority(reading, strata, metric),
            "futility": self.futility(reading, strata, metric),
        }

    def promotes_on(self, metric: Metric) -> str:
        """Which sums a promotion reads."""
        return "r" if self.early(metric) else "c"

    def units_missing(self, strata: Sequence[Stratum], metric: Metric) -> str:
        """What a promotion still waits for, in words."""
        units = 0 if self.exact(metric) else self.units
        least = min(arm_counts(strata, arm)[0] for arm in (0, 1))
        return f"{units} units with a closed window in each arm (now {least})" if least < units else ""


RARE_TESTS = (
    claims.rare_harm,
    claims.rare_non_inferiority,
    claims.rare_superiority,
    claims.rare_futility,
    claims.rare_interval,
)
RATE_TESTS = (
    claims.rate_harm,
    claims.rate_non_inferiority,
    claims.rate_superiority,
    claims.rate_futility,
    claims.rate_interval,
)
FAR_TESTS = (
    claims.by_case(beyond_a_far_quantile, claims.rare_harm, claims.grid_harm),
    claims.by_case(beyond_a_far_quantile, claims.rare_non_inferiority, claims.grid_non_inferiority),
    claims.by_case(beyond_a_far_quantile, claims.rare_superiority, claims.grid_superiority),
    claims.by_case(beyond_a_far_quantile, claims.rare_futility, claims.grid_futility),
    claims.by_case(beyond_a_far_quantile, claims.rare_interval, claims.grid_interval),
)

_ROWS = (
    Kind(
        "proportion",
        "share of units with the event; for shares of 5 % and more",
        SHARE_OF_REPORTS,
        BINARY,
        share=True,
        takes=TRUTH,
        values=ANY,
        keys=("sampled",),
        weighted=SHARE_OF_REPORTS,
    ),
    Kind(
        "rare_proportion",
        "share of units with at least one event; for rare events such as errors",
        BINARY,
        BINARY,
        *RARE_TESTS,
        exact=always,
        settled=True,
        share=True,
        takes=TRUTH,
        values=ANY,
    ),
    Kind(
        "rate",
        "events per request of the unit, over units",
        COUNTS,
        COUNTS,
        *RATE_TESTS,
        units=CONTINUOUS_UNITS,
        per="requests",
        settled=True,
        takes=COUNT,
        values=("sum",),
        absent=("zero",),
    ),
    Kind(
        "mean",
        "average over units of a number per unit",
        RATIO,
        MEAN,
        units=CONTINUOUS_UNITS,
        quantiles=True,
        keys=("sampled",),
        adjusted=ADJUSTED_MEAN,
        weighted=RATIO,
    ),
    Kind(
        "winsorised_mean",
        "average of a number per unit, where values beyond a cap count as the cap; for heavy tails",
        RATIO,
        MEAN,
        units=CONTINUOUS_UNITS,
        quantiles=True,
        keys=("cap",),
        required=(("cap",),),
        adjusted=ADJUSTED_MEAN,
    ),
    Kind(
        "ratio",
        "sum of values over number of reports, over units",
        RATIO,
        RATIO,
        units=CONTINUOUS_UNITS,
        per="reports",
        values=SUM,
        keys=("sampled",),
        weighted=RATIO,
    ),
    Kind(
        "edit_rate",
        "sum of values from 0 to 1 (what part of an answer was changed) over number of reports, over units",
        RATIO,
        RATIO,
        units=CONTINUOUS_UNITS,
        per="reports",
        share=True,
        takes=SHARE,
        values=("sum",),
        keys=("sampled",),
        weighted=RATIO,
    ),
    Kind(
        "exceedance",
        "share of units whose value lies above a limit: a fixed one, or a quantile of control frozen early in the run",
        BINARY,
        BINARY,
        *FAR_TESTS,
        exact=beyond_a_far_quantile,
        settled=True,
        quantiles=True,
        share=True,
        values=LARGEST,
        absent=("missing",),
        keys=("over", "quantile"),
        required=(("over", "quantile"),),
    ),
    Kind(
        "rating",
        "mean of ratings 1, 2, 3 … by units, the win probability beside it",
        RATIO,
        CATEGORIES,
        beside=claims.win_probability,
        units=CONTINUOUS_UNITS,
        takes=CATEGORY,
        values=("last", "first"),
        absent=("missing",),
        keys=("scale",),
    ),
    Kind(
        "time_to_event",
        "hazard of a unit's first event inside its window, read without waiting for the window",
        BINARY,
        FIRST_EVENTS,
        claims.count_harm,
        claims.by_case(claims.is_log_rank, claims.log_rank_non_inferiority, claims.count_non_inferiority),
        claims.by_case(claims.is_log_rank, claims.log_rank_superiority, claims.count_superiority),
        claims.by_case(claims.is_log_rank, claims.log_rank_futility, claims.count_futility),
        claims.count_interval,
        exact=always,
        early=claims.is_converters,
        per="age",
        settled=True,
        share=True,
        takes=TRUTH,
        values=("first",),
        absent=("zero",),
        keys=("test",),
        only_relative=True,
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
