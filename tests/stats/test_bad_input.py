"""One error for bad input everywhere: it names the argument, what was expected and what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stats import (
    arguments,
    beta,
    counts,
    evalues,
    frozen,
    grid,
    half_normal,
    half_student,
    histogram,
    normal,
    ordinal,
    proportions,
    rare,
    relative,
    srm,
    student,
)
from stats.strata import NOTHING

EVENTS = [(3, 4, 0.5)]
# By argument: a call that takes it, and values that are wrong for it.
NOT_POSITIVE: list[Any] = [0.0, -1.0, math.nan, math.inf, "1", None]
NOT_WITHIN_1: list[Any] = [0.0, 1.0, -0.1, 1.1, math.nan, "0.5", None]
NOT_ALPHA: list[Any] = [0.0, 0.5, -0.1, 0.9, math.nan, "0.05", None]
NOT_A_COUNT: list[Any] = [-1, 1.5, math.nan, "3", None, 2.0]
NO_INFORMATION: list[Any] = [-1.0, math.nan, math.inf, "1", None]

CALLS: list[tuple[str, str, Callable[[Any], object], list[Any]]] = [
    ("grid", "unit", lambda v: grid.log_evalue(1.0, 0.0, 0.0, v), NOT_POSITIVE),
    ("grid", "unit", lambda v: grid.boundary(1.0, v, 0.05), NOT_POSITIVE),
    ("grid", "alpha", lambda v: grid.boundary(1.0, 1.0, v), NOT_ALPHA),
    ("grid", "alpha", lambda v: grid.interval(1.0, 0.0, 1.0, v), NOT_ALPHA),
    ("grid", "information", lambda v: grid.boundary(v, 1.0, 0.05), NOT_POSITIVE),
    ("normal", "variance", lambda v: normal.log_evalue(1.0, 0.0, 0.0, v), NOT_POSITIVE),
    ("normal", "variance", lambda v: normal.boundary(1.0, v, 0.05), NOT_POSITIVE),
    ("normal", "alpha", lambda v: normal.interval(1.0, 0.0, 1.0, v), NOT_ALPHA),
    ("half_normal", "variance", lambda v: half_normal.log_evalue(1.0, 0.0, 0.0, v), NOT_POSITIVE),
    ("half_normal", "alpha", lambda v: half_normal.interval(1.0, 0.0, 1.0, v), NOT_ALPHA),
    ("half_normal", "alpha", lambda v: half_normal.boundary(1.0, 1.0, v), NOT_ALPHA),
    ("student", "se", lambda v: student.log_evalue(1.0, v, 3, 4.0, 0.0, 5.0), NOT_POSITIVE),
    ("student", "freedom", lambda v: student.log_evalue(1.0, 1.0, v, 4.0, 0.0, 5.0), NOT_POSITIVE),
    ("student", "prior", lambda v: student.interval(1.0, 1.0, 3, 4.0, v, 0.05), NOT_POSITIVE),
    ("student", "alpha", lambda v: student.interval(1.0, 1.0, 3, 4.0, 5.0, v), NOT_ALPHA),
    ("half_student", "units", lambda v: half_student.log_evalue(1.0, 1.0, 3, v, 0.0, 5.0), NOT_POSITIVE),
    ("half_student", "alpha", lambda v: half_student.bound(1.0, 1.0, 3, 4.0, 5.0, v), NOT_ALPHA),
    ("counts", "share", lambda v: counts.log_evalue([(3, 4, v)]), NOT_WITHIN_1),
    ("counts", "x0", lambda v: counts.log_evalue([(v, 4, 0.5)]), NOT_A_COUNT),
    ("counts", "x1", lambda v: counts.log_evalue([(4, v, 0.5)]), NOT_A_COUNT),
    ("counts", "null", lambda v: counts.log_evalue(EVENTS, v), NOT_POSITIVE),
    ("counts", "margin", counts.within, [*NOT_POSITIVE, 1.0]),
    ("counts", "alpha", lambda v: counts.interval(EVENTS, v), NOT_ALPHA),
    ("beta", "share", lambda v: beta.log_evalue(3, 4, v), NOT_WITHIN_1),
    ("beta", "x1", lambda v: beta.log_evalue(3, v, 0.5), NOT_A_COUNT),
    ("beta", "concentration", lambda v: beta.interval(3, 4, 0.5, 0.05, v), NOT_POSITIVE),
    ("beta", "alpha", lambda v: beta.interval(3, 4, 0.5, v), NOT_ALPHA),
    ("rare", "margin", lambda v: rare.log_evalue(9, 1, v), NOT_WITHIN_1),
    ("rare", "n", lambda v: rare.log_evalue(v, 0, 0.1), NOT_A_COUNT),
    ("rare", "x", lambda v: rare.log_evalue(9, v, 0.1), [*NOT_A_COUNT, 10]),
    ("srm", "counts", lambda v: srm.log_evalue([((v, 4), (0.5, 0.5))]), NOT_A_COUNT),
    ("srm", "counts", lambda v: srm.log_evalue([(v, (0.5, 0.5))]), [(1, 2, 3), (1,)]),
    ("srm", "concentration", lambda v: srm.log_evalue([((3, 4), (0.5, 0.5))], v), NOT_POSITIVE),
    ("srm", "shares", lambda v: srm.log_evalue([((3, 4), v)]), [(0.5, 0.4), (1.0, 0.0), (1.5, -0.5)]),
    ("proportions", "x0", lambda v: proportions.difference(9, v, 9, 1), [*NOT_A_COUNT, 10]),
    ("proportions", "n1", lambda v: proportions.difference(9, 1, v, 0), NOT_A_COUNT),
    ("proportions", "x1", lambda v: proportions.lift(9, 1, 9, v), [*NOT_A_COUNT, 10]),
    ("ordinal", "counts0", lambda v: ordinal.win_probability([v, 1], [1, 1]), NOT_A_COUNT),
    ("ordinal", "counts1", lambda v: ordinal.mean_score([1, 1], v), [[1, 1, 1], [], [-1, 1]]),
    ("histogram", "share", lambda v: histogram.quantile({1: 2}, v), NOT_WITHIN_1),
    ("histogram", "value", histogram.bucket, NOT_A_COUNT),
    ("histogram", "index", histogram.edges, NOT_A_COUNT),
    ("histogram", "counts", lambda v: histogram.quantile({1: v}, 0.5), NOT_A_COUNT),
    ("frozen", "share", lambda v: frozen.quantile({1: 2}, v), NOT_WITHIN_1),
    ("relative", "unit", lambda v: relative.interval(lambda f: NOTHING, v, 0.05), NOT_POSITIVE),
    ("relative", "alpha", lambda v: relative.interval(lambda f: NOTHING, 0.1, v), NOT_ALPHA),
    ("evalues", "highest", evalues.anytime_p, [math.nan, "0", None]),
    ("evalues", "alpha", evalues.threshold, NOT_ALPHA),
    (
        "arguments",
        "x",
        lambda v: arguments.count("x", v),
        [np.array([1, -1]), np.array([1.0]), np.array(["1"])],
    ),
    ("arguments", "x", lambda v: arguments.at_least("x", v, 0), [np.array([1, -1]), np.array([math.nan, 1])]),
    (
        "arguments",
        "x",
        lambda v: arguments.between("x", v, 0, 1),
        [np.array([0.5, 1.0]), np.array(["a", "b"])],
    ),
]


@pytest.mark.parametrize(
    ("argument", "call", "value"),
    [
        pytest.param(argument, call, value, id=f"{module}-{argument}-{value}")
        for module, argument, call, values in CALLS
        for value in values
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected_and_found(
    argument: str, call: Callable[[Any], object], value: Any
) -> None:
    with pytest.raises(ValueError, match=rf"^{argument}: expected .*, found "):
        call(value)


@pytest.mark.parametrize("module", [grid, normal, half_normal], ids=["grid", "normal", "half_normal"])
@pytest.mark.parametrize("information", NO_INFORMATION)
def test_information_is_a_number_of_at_least_0(module: Any, information: Any) -> None:
    with pytest.raises(ValueError, match=r"^information: expected a finite number of at least 0, found "):
        module.log_evalue(information, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("module", [grid, normal, half_normal], ids=["grid", "normal", "half_normal"])
@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None])
def test_an_estimate_or_a_null_that_is_no_number_is_named(module: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^weighted: expected a finite number, found "):
        module.log_evalue(1.0, value, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"^null: expected a finite number, found "):
        module.log_evalue(1.0, 0.0, value, 1.0)


@pytest.mark.parametrize("module", [student, half_student], ids=["student", "half_student"])
@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None])
def test_an_effect_that_is_no_number_is_named(module: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^effect: expected a finite number, found "):
        module.log_evalue(value, 1.0, 3, 4.0, 0.0, 5.0)


def test_arrays_are_checked_as_a_whole() -> None:
    good = np.array([1.0, 2.0])
    for module in (grid, normal, half_normal):
        with pytest.raises(ValueError, match=r"^information: "):
            module.log_evalues(-good, good, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"^x: "):
        rare.log_evalues(np.array([3, 3]), np.array([1, 4]), 0.1)
    with pytest.raises(ValueError, match=r"^x1: "):
        counts.log_evalues(np.array([3, 3]), np.array([1, -4]), 0.1)
    with pytest.raises(ValueError, match=r"^n0: "):
        proportions.differences(np.array([0]), np.array([0]), np.array([3]), np.array([1]))
