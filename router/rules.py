"""Rules: what a request must say for an arm to be served, and the one table of their operators.

An attribute is the list of texts that a request holds for it. Of several values one that fits is enough; a negated
operator asks that none fits. A request without the attribute fits no condition, negated or not, unless the condition
says ``missing: match``. All conditions of one rule must hold; the first rule that holds serves.

Operands are read once, when a file or a flag is read: an unknown operator or an operand that cannot be read is an error
there, and never a quiet ``False`` on the way of a request. Regular expressions are RE2's, linear in the text; the
library is imported when a rule has one.

To add an operator: one row of OPERATORS, its cases, its line in ``config/README.md``.

Source:
    Semantic Versioning 2.0.0, items 9 to 11; RFC 3339; RFC 4632 (CIDR).
"""

from __future__ import annotations

import ipaddress
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from router.bucketing import bucket
from router.errors import nearest
from router.quantity import Unreadable, percent_ppm

Values = tuple[str, ...] | None
Test = Callable[[str], bool]
Holds = Callable[[Values], bool]
Segments = Mapping[str, frozenset[str]]
UNIT = "unit"  # the attribute that every request with a unit has


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question about one attribute. ``missing``: what it answers for a request without the attribute."""

    attribute: str
    op: str
    values: tuple[str, ...] = ()
    ci: bool = False
    missing: bool = False
    salt: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Serves an arm when all its conditions hold; whoever it serves is not analysed."""

    id: str
    when: tuple[Condition, ...]
    serve: str


@dataclass(frozen=True, slots=True)
class Operator:
    """One row: what an operand is in words, how it is read, and the test made of all operands.

    ``most`` is None for any number of operands. ``names`` marks operands that are names of segments.
    """

    operand: str
    read: Callable[[str, bool], Any]
    make: Callable[[tuple[Any, ...], Condition], Test]
    least: int = 1
    most: int | None = None
    negated: bool = False
    names: bool = False


def _text(text: str, ci: bool) -> str:
    return text.casefold() if ci else text


def _number(text: str, _: bool) -> float:
    if _NUMBER.fullmatch(text) is None or not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _moment(text: str, _: bool) -> float:
    """Seconds since 1970: RFC 3339 with its zone, or the number itself."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    moment = datetime.fromisoformat(text.upper())  # the "t" and the "z" may be small
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.timestamp()


def _semver(text: str, _: bool) -> tuple[Any, ...]:
    """A version as a tuple whose order is the order of precedence; a release is above its pre-releases."""
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    before = match[4]
    marks = before.split(".") if before else []
    order = tuple((0, int(mark), "") if mark.isdigit() else (1, 0, mark) for mark in marks)
    return (int(match[1]), int(match[2]), int(match[3]), not marks, order)


def _address(text: str, _: bool) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _network(text: str, _: bool) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _pattern(text: str, ci: bool) -> Any:
    import re2  # a process without such a rule never loads it

    options = re2.Options()
    options.case_sensitive = not ci
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as problem:
        raise ValueError(str(problem)) from None


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_PART = r"(0|[1-9]\d{0,17})"
_MARK = r"(?:0|[1-9]\d{0,17}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_PART}\.{_PART}\.{_PART}(?:-({_MARK}(?:\.{_MARK})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def _any(
    read: Callable[[str, bool], Any], fits: Callable[[Any, Any], bool]
) -> Callable[[tuple[Any, ...], Condition], Test]:
    """The value, read like this, fits one of the operands; a value that cannot be read fits none."""

    def make(operands: tuple[Any, ...], condition: Condition) -> Test:
        ci = condition.ci

        def test(text: str) -> bool:
            try:
                found = read(text, ci)
            except ValueError:
                return False
            return any(fits(found, operand) for operand in operands)

        return test

    return make


def _among(operands: tuple[str, ...], condition: Condition) -> Test:
    wanted = frozenset(operands)
    return (lambda text: text.casefold() in wanted) if condition.ci else wanted.__contains__


def _between(operands: tuple[float, ...], _: Condition) -> Test:
    low, high = operands
    inside = _any(_number, lambda found, _: low <= found <= high)
    return inside((None,), _)


def _matching(operands: tuple[Any, ...], _: Condition) -> Test:
    def test(text: str) -> bool:
        try:
            return any(pattern.search(text) for pattern in operands)
        except UnicodeEncodeError:  # octets that are no text
            return False

    return test


def _dealt(operands: tuple[int, ...], condition: Condition) -> Test:
    salt, share = condition.salt, operands[0]
    return lambda text: bucket(salt, text.encode("utf-8", "surrogateescape")) < share


def _tilde(found: Any, wanted: Any) -> bool:
    return bool(found >= wanted and found[:2] == wanted[:2])


def _caret(found: Any, wanted: Any) -> bool:
    same = 1 if wanted[0] else 2 if wanted[1] else 3
    return bool(found >= wanted and found[:same] == wanted[:same])


def _inside(address: Any, block: Any) -> bool:
    return address in block


def _versions(fits: Callable[[Any, Any], bool]) -> Operator:
    return Operator("a version such as '1.4.2' or '2.0.0-rc.1'", _semver, _any(_semver, fits), most=1)


def _numbers(fits: Callable[[Any, Any], bool]) -> Operator:
    return Operator("a number", _number, _any(_number, fits), most=1)


def _moments(fits: Callable[[Any, Any], bool]) -> Operator:
    expected = "a time with its zone such as '2026-12-01T09:00:00+01:00', or seconds since 1970"
    return Operator(expected, _moment, _any(_moment, fits), most=1)


_ROWS: dict[str, Operator] = {
    "in": Operator("a text", _text, _among),
    "eq": Operator("a text", _text, _among, most=1),
    "starts_with": Operator("a text", _text, _any(_text, str.startswith)),
    "ends_with": Operator("a text", _text, _any(_text, str.endswith)),
    "contains": Operator("a text", _text, _any(_text, operator.contains)),
    "matches": Operator("a regular expression of RE2", _pattern, _matching),
    "gt": _numbers(operator.gt),
    "gte": _numbers(operator.ge),
    "lt": _numbers(operator.lt),
    "lte": _numbers(operator.le),
    "between": Operator("a number", _number, _between, 2, 2),
    "before": _moments(operator.lt),
    "after": _moments(operator.gt),
    "semver_eq": _versions(operator.eq),
    "semver_gt": _versions(operator.gt),
    "semver_gte": _versions(operator.ge),
    "semver_lt": _versions(operator.lt),
    "semver_lte": _versions(operator.le),
    "semver_tilde": _versions(_tilde),
    "semver_caret": _versions(_caret),
    "in_cidr": Operator("an address or a block such as '10.0.0.0/8'", _network, _any(_address, _inside)),
    "exists": Operator("nothing", _text, lambda *_: lambda _: True, 0, 0),
    "missing": Operator("nothing", _text, lambda *_: lambda _: False, 0, 0),
    "in_segment": Operator("the name of a segment", _text, _among, names=True),
    "percent_of": Operator("a percentage", lambda text, _: percent_ppm(text), _dealt, most=1),
}
_NEGATED = {"not_in": "in", "neq": "eq"} | {
    f"not_{name}": name
    for name in ("starts_with", "ends_with", "contains", "matches", "in_cidr", "in_segment")
}
OPERATORS: dict[str, Operator] = _ROWS | {
    name: replace(_ROWS[of], negated=True) for name, of in _NEGATED.items()
}

Fault = tuple[tuple[str | int, ...], str, str, str]


def faults(condition: Condition) -> Iterator[Fault]:
    """What is wrong with a condition: where in it, what was expected, what was found, what to do."""
    row = OPERATORS.get(condition.op)
    if row is None:
        hint = nearest(condition.op, OPERATORS) or f"known: {', '.join(OPERATORS)}"
        yield ("op",), "an operator", repr(condition.op), hint
        return
    count = len(condition.values)
    if count < row.least or (row.most is not None and count > row.most):
        wanted = f"at least {row.least}" if row.most is None else str(row.most)
        yield ("values",), f"{wanted} of {row.operand} for {condition.op}", f"{count} values", ""
        return
    operands = []
    for index, text in enumerate(condition.values):
        try:
            operands.append(row.read(text, condition.ci))
        except ValueError as problem:
            expected = problem.expected if isinstance(problem, Unreadable) else row.operand
            yield ("values", index), f"{expected} for {condition.op}", repr(text), ""
    if condition.op == "between" and len(operands) == 2 and operands[0] > operands[1]:
        yield ("values",), "the lower bound first", ", ".join(condition.values), ""


def holds(condition: Condition, segments: Segments) -> Holds:
    """A condition without faults as a function of an attribute's values."""
    row = OPERATORS[condition.op]
    if row.names:
        operands: tuple[Any, ...] = tuple(value for name in condition.values for value in segments[name])
        operands = tuple(_text(value, condition.ci) for value in operands)
    else:
        operands = tuple(row.read(text, condition.ci) for text in condition.values)
    test, absent, fitting = row.make(operands, condition), condition.missing, not row.negated
    if condition.op == "missing":
        absent = True

    def answer(values: Values) -> bool:
        if values is None:
            return absent
        if len(values) == 1:
            return test(values[0]) is fitting
        return any(map(test, values)) is fitting

    return answer
