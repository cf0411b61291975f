"""Operators: what fits, what does not, and that nothing unreadable is ever a quiet no."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.bucketing import PPM, bucket
from router.rules import OPERATORS, Condition, Values, faults, holds

# operator, operands, values that fit, values that do not
CASES: list[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    ("in", ("DE", "FR"), ("DE", "FR"), ("de", "D", "")),
    ("not_in", ("DE", "FR"), ("IT", "de"), ("DE", "FR")),
    ("eq", ("gold",), ("gold",), ("Gold", "golden")),
    ("neq", ("gold",), ("silver",), ("gold",)),
    ("starts_with", ("ab", "x"), ("abc", "xy"), ("ba", "cab")),
    ("not_starts_with", ("ab",), ("ba",), ("ab",)),
    ("ends_with", ("@corp.example",), ("a@corp.example",), ("a@corp.example.org",)),
    ("not_ends_with", ("x",), ("a",), ("ax",)),
    ("contains", ("mid",), ("amidst",), ("m-id",)),
    ("not_contains", ("mid",), ("m",), ("mid",)),
    ("matches", (r"^v\d+$", "x{3}"), ("v12", "axxxb"), ("v", "vx")),
    ("not_matches", ("^a",), ("b",), ("ab",)),
    ("gt", ("10",), ("10.5", "1e2"), ("10", "9", "nan", "inf", "ten", "1_1", "٣")),
    ("gte", ("10",), ("10", "10.0"), ("9.99",)),
    ("lt", ("-1.5",), ("-2", "-1e9"), ("-1.5", "0", "nan")),
    ("lte", ("10",), ("10", "-1"), ("10.1",)),
    ("between", ("1", "2"), ("1", "2", "1.5"), ("0.9", "2.1", "nan")),
    ("before", ("2026-12-01T09:00:00+01:00",), ("2026-12-01T07:59:59Z", "2026-12-01t07:59:59z", "1000"), ("2026-12-01T08:00:00Z", "soon", "2026-01-01T00:00:00")),
    ("after", ("1700000000",), ("2026-12-01T00:00:00Z", "1700000001"), ("1700000000", "")),
    ("semver_eq", ("1.4.2",), ("1.4.2", "1.4.2+build.5"), ("1.4.2-rc.1", "v1.4.2", "1.4")),
    ("semver_gt", ("1.0.0-alpha.1",), ("1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0"), ("1.0.0-alpha", "1.0.0-alpha.1")),
    ("semver_gte", ("1.10.0",), ("1.10.0", "1.11.0"), ("1.9.9", "1.10.0-rc.1")),
    ("semver_lt", ("2.0.0",), ("1.99.99", "2.0.0-rc.1"), ("2.0.0", "02.0.0")),
    ("semver_lte", ("2.0.0",), ("2.0.0",), ("2.0.1",)),
    ("semver_tilde", ("1.4.2",), ("1.4.2", "1.4.9"), ("1.4.1", "1.5.0", "2.4.2")),
    ("semver_caret", ("1.4.2",), ("1.4.2", "1.9.0"), ("1.4.1", "2.0.0", "2.0.0-alpha")),
    ("semver_caret", ("0.4.2",), ("0.4.9",), ("0.5.0", "1.0.0")),
    ("semver_caret", ("0.0.3",), ("0.0.3",), ("0.0.4",)),
    ("in_cidr", ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7"), ("10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.0.0.1"), ("11.0.0.1", "192.0.2.8", "::1", "10.1", "host")),
    ("not_in_cidr", ("10.0.0.0/8",), ("11.0.0.1",), ("10.0.0.1",)),
    ("exists", (), ("", "a"), ()),
    ("missing", (), (), ("", "a")),
    ("in_segment", ("eu",), ("DE", "FR"), ("US",)),
    ("not_in_segment", ("eu",), ("US",), ("DE",)),
]  # fmt: skip
SEGMENTS = {"eu": frozenset(("DE", "FR"))}


def fits(
    op: str, operands: tuple[str, ...], values: Values, *, ci: bool = False, missing: bool = False
) -> bool:
    condition = Condition("a", op, operands, ci, missing)
    assert list(faults(condition)) == []
    return holds(condition, SEGMENTS)(values)


@pytest.mark.parametrize(("op", "operands", "yes", "no"), CASES)
def test_what_fits_and_what_does_not(
    op: str, operands: tuple[str, ...], yes: tuple[str, ...], no: tuple[str, ...]
) -> None:
    assert [value for value in yes if not fits(op, operands, (value,))] == []
    assert [value for value in no if fits(op, operands, (value,))] == []


def test_every_operator_has_its_cases() -> None:
    assert set(OPERATORS) - {op for op, *_ in CASES} == {"percent_of"}


@pytest.mark.parametrize("op", [op for op, *_ in CASES if op != "missing"])
def test_an_absent_attribute_fits_nothing_unless_the_condition_says_so(op: str) -> None:
    operands = next(operands for name, operands, *_ in CASES if name == op)
    assert not fits(op, operands, None)
    assert fits(op, operands, None, missing=True)


def test_missing_holds_for_the_absent_attribute() -> None:
    assert fits("missing", (), None)


def test_of_a_list_one_value_is_enough_and_a_negation_asks_for_none() -> None:
    assert fits("in", ("b",), ("a", "b", "c"))
    assert not fits("not_in", ("b",), ("a", "b", "c"))
    assert fits("not_in", ("z",), ("a", "b", "c"))
    assert fits("gt", ("5",), ("nan", "6"))
    assert not fits("in", ("b",), ())


@pytest.mark.parametrize("op", ["in", "eq", "starts_with", "ends_with", "contains", "matches", "in_segment"])
def test_case_is_ignored_when_asked(op: str) -> None:
    operands = ("eu",) if op == "in_segment" else ("dE",)
    assert fits(op, operands, ("De",), ci=True)
    assert not fits(op, operands, ("De",))


@pytest.mark.parametrize(
    ("op", "operands", "path", "expected"),
    [
        ("in_cdir", ("10.0.0.0/8",), ("op",), "an operator"),
        ("in", (), ("values",), "at least 1 of a text"),
        ("eq", ("a", "b"), ("values",), "1 of a text"),
        ("exists", ("a",), ("values",), "0 of nothing"),
        ("between", ("1",), ("values",), "2 of a number"),
        ("between", ("2", "1"), ("values",), "the lower bound first"),
        ("gt", ("ten",), ("values", 0), "a number"),
        ("gt", ("nan",), ("values", 0), "a number"),
        ("semver_gt", ("1.2",), ("values", 0), "a version"),
        ("in_cidr", ("10.0.0.0/8", "10.0.0.0/33"), ("values", 1), "an address or a block"),
        ("before", ("2026-12-01",), ("values", 0), "a time with its zone"),
        ("before", ("2026-12-01T09:00:00",), ("values", 0), "a time with its zone"),
        ("matches", ("(a",), ("values", 0), "a regular expression"),
        ("matches", (r"(a)\1",), ("values", 0), "a regular expression"),
        ("matches", ("(?=a)b",), ("values", 0), "a regular expression"),
        ("percent_of", ("5",), ("values", 0), "a percentage"),
        ("percent_of", ("0.00001%",), ("values", 0), "a percentage"),
    ],
)  # fmt: skip
def test_a_bad_operator_or_operand_is_an_error_with_its_place(
    op: str, operands: tuple[str, ...], path: tuple[str | int, ...], expected: str
) -> None:
    ((where, wanted, found, _),) = faults(Condition("a", op, operands))
    assert where == path
    assert wanted.startswith(expected)
    assert found


def test_an_unknown_operator_is_answered_with_the_nearest() -> None:
    ((_, _, _, hint),) = faults(Condition("a", "in_cdir", ("x",)))
    assert hint == "did you mean 'in_cidr'?"


@given(st.text(max_size=30), st.sampled_from([op for op, *_ in CASES]))
def test_no_value_of_a_request_is_an_exception(value: str, op: str) -> None:
    operands = next(operands for name, operands, *_ in CASES if name == op)
    assert fits(op, operands, (value, "\udc80\udcff")) in (True, False)


def test_a_share_of_all_values_is_dealt_by_its_own_hash_to_four_decimals() -> None:
    condition = Condition("a", "percent_of", ("0.05%",), salt="rule:web:few")
    inside = holds(condition, {})
    wanted = [n for n in range(40_000) if bucket("rule:web:few", f"u{n}") < 500]
    assert [n for n in range(40_000) if inside((f"u{n}",))] == wanted
    assert PPM > 500 and 5 < len(wanted) < 45  # 20 expected: six sigma


def test_a_regular_expression_that_explodes_elsewhere_is_linear_here() -> None:
    # Backtracking would not come back from this one, so a process of its own asks.
    program = (
        "from router.rules import Condition, holds\n"
        "assert not holds(Condition('x', 'matches', ('^(a+)+$',)), {})(('a' * 20_000 + 'b',))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_library_of_regular_expressions_is_loaded_by_a_flag_that_has_one() -> None:
    program = (
        "import sys, router.gateway.worker; from router.rules import *;"
        "holds(Condition('a', 'in', ('x',)), {}); print('re2' in sys.modules);"
        "holds(Condition('a', 'matches', ('x',)), {}); print('re2' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
