"""Quantities as people write them, with their unit: ``5%``, ``2 pp``, ``300 ms``, ``7 d``.

A number without its unit is refused: nobody should have to guess whether 300 are seconds. Each reader takes text (or,
from JSON, the text again) and gives a whole number or a plain ratio.
"""

from __future__ import annotations

import re
from decimal import Decimal

from router.bucketing import PPM

UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ?([a-z%]+)")
LARGEST_LIFT = 100
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Unreadable(ValueError):
    """The text is no quantity of this kind."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}, found {found!r}")
        self.expected = expected
        self.found = repr(found)


def duration_ms(value: object) -> int:
    """``300 ms``, ``5 s``, ``10 min``, ``1 h``, ``7 d`` as milliseconds."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in UNITS_MS:
        raise Unreadable("a time such as '300 ms', '5 s', '10 min', '1 h' or '7 d'", value)
    result = Decimal(match[1]) * UNITS_MS[match[2]]
    if result != int(result) or result > 10**12:
        raise Unreadable("a whole number of milliseconds", value)
    return int(result)


def percent_ppm(value: object) -> int:
    """``5%`` as parts per million: 50,000."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] != "%":
        raise Unreadable("a percentage such as '5%'", value)
    result = Decimal(match[1]) * PPM / 100
    if result != int(result) or not 0 < result <= PPM:
        raise Unreadable("a percentage above 0% and up to 100%, with at most four decimals", value)
    return int(result)


def error_rate_ppm(value: object) -> int:
    """``5%`` as parts per million: below 25%, since an interval errs on both sides and twice a rate is below a half."""
    result = percent_ppm(value)
    if result >= PPM // 4:
        raise Unreadable("an error rate below 25%", value)
    return result


def points(value: object) -> float:
    """``2 pp`` as 0.02: a difference of two shares."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] != "pp":
        raise Unreadable("percentage points such as '2 pp'", value)
    result = float(Decimal(match[1]) / 100)
    if result > 1:
        raise Unreadable("at most 100 pp", value)
    return result


def plain(value: object) -> float:
    """``0.5`` as 0.5: a difference in the metric's own unit."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise Unreadable("a number such as '0.5', in the metric's own unit", value)
    return float(value)


def moderate(value: object) -> float:
    """``-4`` as -4.0: a number that may be below 0, of at most 20 either way."""
    if (
        not isinstance(value, str)
        or _NUMBER.fullmatch(value.removeprefix("-")) is None
        or abs(float(value)) > 20
    ):
        raise Unreadable("a number from -20 to 20, such as '2' or '-4'", value)
    return float(value)


def fraction(value: object) -> float:
    """``99 %`` as 0.99: a share strictly between nothing and all."""
    result = percent_ppm(value) / PPM
    if result >= 1:
        raise Unreadable("a percentage below 100%", value)
    return result


def lift(value: object) -> float:
    """``5 %`` as 0.05: a difference as a share of control's level; beyond 100 % it is more than double."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] != "%":
        raise Unreadable("a share of control's level such as '5 %'", value)
    result = float(Decimal(match[1]) / 100)
    if result > LARGEST_LIFT:
        raise Unreadable(f"at most {LARGEST_LIFT * 100:g} %", value)
    return result


def signed(value: object) -> int:
    """``-3`` as -3."""
    if not isinstance(value, str) or re.fullmatch(r"-?[0-9]{1,15}", value) is None:
        raise Unreadable("a whole number", value)
    return int(value)


def decimal(value: object) -> float:
    """``-0.5`` as -0.5."""
    if not isinstance(value, str) or re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value) is None:
        raise Unreadable("a number such as '0.5'", value)
    return float(value)


def whole(value: object) -> int:
    """``100`` as 100."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 12:
        raise Unreadable("a whole number", value)
    return int(value)
