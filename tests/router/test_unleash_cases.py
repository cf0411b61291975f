"""Operators against an independent description: the constraint cases of the Unleash client specification.

They differ from ours in three ways, all on purpose: there an operand that cannot be read never fits, here it is refused
when the file is read; there a negation fits a request without the attribute, here only with ``missing: match``; there a
list without values is allowed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.rules import Condition, faults, holds

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "cases" / "unleash_constraints.json").read_text()
)["cases"]
NAMES = {
    "IN": "in", "NOT_IN": "not_in", "STR_STARTS_WITH": "starts_with", "STR_ENDS_WITH": "ends_with",
    "STR_CONTAINS": "contains", "NUM_EQ": "between", "NUM_GT": "gt", "NUM_GTE": "gte", "NUM_LT": "lt", "NUM_LTE": "lte",
    "DATE_AFTER": "after", "DATE_BEFORE": "before", "SEMVER_EQ": "semver_eq", "SEMVER_GT": "semver_gt",
    "SEMVER_GTE": "semver_gte", "SEMVER_LT": "semver_lt", "SEMVER_LTE": "semver_lte", "REGEX": "matches",
    "IN_CIDR": "in_cidr",
}  # fmt: skip
# What is refused here though it has a meaning there.
REFUSED_THOUGH_MEANT = {
    "Always enabled for value not in empty list",
    "Feature.constraints.no_values_NOT_IN should be enabled in default environment",
    "Feature.constraints.no_values_NOT_IN should be enabled in empty environment",
    "Valid CIDR should match even when invalid entries exist",
    "Valid IPv6 CIDR should match even when invalid entries exist",
}


def condition(constraint: dict[str, Any]) -> Condition:
    op = NAMES.get(constraint["operator"], constraint["operator"])
    values = tuple(constraint["values"])
    return Condition(
        constraint["attribute"],
        op,
        values * 2 if constraint["operator"] == "NUM_EQ" else values,
        constraint.get("ignore_case", False),
        missing=op == "not_in",
    )


def fits(constraint: dict[str, Any], attributes: dict[str, str]) -> bool:
    value = attributes.get(constraint["attribute"])
    found = holds(condition(constraint), {})(None if value is None else (value,))
    return found is not constraint.get("inverted", False)


def refused(case: dict[str, Any]) -> bool:
    return any(list(faults(condition(one))) for part in case["any_of"] for one in part)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']} {case['name']}")
def test_a_request_fits_as_it_is_described_there(case: dict[str, Any]) -> None:
    if refused(case):
        assert not case["expected"] or case["name"] in REFUSED_THOUGH_MEANT
        return
    attributes = case["attributes"]
    served = any(all(fits(one, attributes) for one in part) for part in case["any_of"])
    assert served is case["expected"]


def test_nearly_all_cases_are_asked_and_the_exceptions_are_cases() -> None:
    asked = [case for case in CASES if not refused(case)]
    assert len(asked) >= 125
    assert {case["name"] for case in CASES} >= REFUSED_THOUGH_MEANT
