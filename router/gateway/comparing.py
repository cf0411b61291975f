"""Whether two answers say the same: as JSON documents, at some places only, numbers within a tolerance. Pure."""

from __future__ import annotations

import math
from typing import Any

from router.gateway.pointer import parts_of, value_at
from router.serving import Comparison


def same(one: object, other: object, how: Comparison) -> bool:
    """Whether two JSON documents agree."""
    if not how.fields:
        return _same(one, other, how.tolerance)
    return all(
        _same(value_at(one, parts_of(field)), value_at(other, parts_of(field)), how.tolerance)
        for field in how.fields
    )


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one == other) or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same(a, b, tolerance) for a, b in pairs)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], tolerance) for key in one)
    return bool(one == other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
