"""Operators against another implementation: the engine of Unleash, asked the same conditions about the same values.

Each verdict is the same or has its row in DIFFERENCES, and each row is met. Edge values are asked in all pairs; between
them values are drawn with a fixed seed.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from yggdrasil_engine.engine import UnleashEngine

from router.rules import Condition, faults, holds
from tests.router.test_unleash_cases import NAMES

DRAWN = 150  # conditions of each operator beside those of the edges, each asked about as many values as one edge is
TEXTS = (
    "", "a", "A", "ab", "DE", "de", "straße", "STRASSE", "ı", "I", "İ", "ユーザー", "a b", " a", "user@corp.example",
    "@corp.example", "v1", "ſ", "s", "\u212a", "k",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "1.5", "01", "+1", "1.", "0.1", ".5", "1e3", "1E3", "NaN", "inf", "-inf", "Infinity", "0x10", "1_0",
    "ten", "", " 1", "1 ", "٣", "1e400", "9007199254740993", "-0", "1e-400", "1,5",
)  # fmt: skip
MOMENTS = (
    "2022-01-29T13:00:00Z", "2022-01-29T13:00:00.000Z", "2022-01-29T14:00:00+01:00", "2022-01-29T13:00:00", "2022-01-29",
    "1643461200", "yesterday", "2022-01-29T13:00:00.001Z", "2022-01-29t13:00:00z", "2022-01-29 13:00:00Z", "",
    "2022-01-29T13:00:00.1234567Z", "2022-02-30T00:00:00Z", "2022-01-29T13:00Z",
)  # fmt: skip
VERSIONS = (
    "1.0.0", "1.0.1", "1.10.0", "2.0.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0+build", "1.0.0+build.2", "v1.0.0", "1.0", "01.0.0", "1.0.0-01", "", "1.0.0.0",
    "1.0.0-", "99999999999999999999.0.0", "1.0.0-99999999999999999999", " 1.0.0",
)  # fmt: skip
PATTERNS = (
    "^a", "b$", "a|b", "^$", "[A-Z]+", "a{2,3}", r"\d+", r"\w", "(?i)de", ".", "(", "(?=a)", r"a\b", r"^v\d+$", r"\p{L}",
    "^.*$", r"\s",
)  # fmt: skip
BLOCKS = (
    "10.0.0.0/8", "192.168.1.1", "192.168.1.0/24", "::1", "2001:db8::/32", "0.0.0.0/0", "::/0", "10.0.0.1/8", "x",
    "10.0.0.0/33", "::ffff:10.0.0.0/104",
)  # fmt: skip
ADDRESSES = (
    "10.1.2.3", "192.168.1.1", "192.168.1.77", "::1", "2001:db8::5", "8.8.8.8", "::ffff:10.1.2.3", "", "x", "10.1.2",
    "010.1.2.3", "10.1.2.3/32", " 10.1.2.3", "fe80::1%eth0",
)  # fmt: skip


def a_text(rng: random.Random) -> str:
    return "".join(rng.choices("abAB.@ ", k=rng.randint(0, 4)))


def a_number(rng: random.Random) -> str:
    return rng.choice((f"{rng.uniform(-9, 9):.3f}", f"{rng.randint(-9, 9)}", f"{rng.uniform(-9, 9):.1e}"))


def a_moment(rng: random.Random) -> str:
    zone = rng.choice(("Z", "+01:00", "-05:30"))
    return f"2022-01-{rng.randint(1, 3):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}{zone}"


def a_version(rng: random.Random) -> str:
    marks = rng.choice(("", "", "-rc", "-rc.1", "-1", "-a.b", f"-beta.{rng.randint(0, 20)}"))
    return f"{rng.randint(0, 1)}.{rng.choice((1, 2, 10))}.0{marks}{rng.choice(('', '+b1'))}"


def a_pattern(rng: random.Random) -> str:
    return (
        rng.choice(("", "^")) + rng.choice(("a", "[ab]+", "(a|B)", "a?b*", ".")) + rng.choice(("", "$", "A"))
    )


def an_address(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return str(ipaddress.IPv4Address(rng.getrandbits(4) | 10 << 24))
    return str(ipaddress.IPv6Address(rng.getrandbits(4) | 0x20010DB8 << 96))


def a_block(rng: random.Random) -> str:
    address = an_address(rng)
    return f"{address}/{rng.randint(124, 128) if ':' in address else rng.randint(28, 32)}"


Draw = Callable[[random.Random], str]
# Edge operands, edge values, and how one more of each is drawn.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Draw, Draw]] = {
    "text": (TEXTS, TEXTS, a_text, a_text),
    "NUM": (NUMBERS, NUMBERS, a_number, a_number),
    "DATE": (MOMENTS, MOMENTS, a_moment, a_moment),
    "SEMVER": (VERSIONS, VERSIONS, a_version, a_version),
    "REGEX": (PATTERNS, TEXTS, a_pattern, a_text),
    "IN_CIDR": (BLOCKS, ADDRESSES, a_block, an_address),
}


@dataclass(frozen=True)
class Case:
    """One condition in the words of both, and the value that it is asked about."""

    theirs: str
    operand: str
    value: str | None
    ci: bool

    @property
    def kind(self) -> str:
        return next((kind for kind in KINDS if self.theirs.startswith(kind)), "text")

    @property
    def texts(self) -> tuple[str, str]:
        return self.operand, self.value or ""

    def condition(self) -> Condition:
        """``NUM_EQ`` is between the number and itself; NOT_IN fits there where the attribute is missing."""
        ours = NAMES[self.theirs]
        return Condition(
            "x", ours, (self.operand,) * (1 + (ours == "between")), self.ci, missing=ours == "not_in"
        )


RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[-+]\d\d:\d\d)")


def _to_the_letter(case: Case) -> bool:
    """Whether both are what the engine reads: of values it takes a small t and z too."""
    operand, value = case.texts
    return RFC_3339.fullmatch(operand) is not None and RFC_3339.fullmatch(value.upper()) is not None


def _infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


# Where the verdicts differ on purpose: why, and which cases are meant. The reason is ours against theirs.
DIFFERENCES: dict[str, Callable[[Case], bool]] = {
    "ci is for every operator on texts; there IN and NOT_IN never ignore case": (
        lambda case: case.ci and case.theirs in ("IN", "NOT_IN")
    ),
    "case is folded, so that STRASSE is straße; there it is only lowered": (
        lambda case: case.ci and any(text.casefold() != text.lower() for text in case.texts)
    ),
    "infinity is no number, and nothing is above or below it": (
        lambda case: case.kind == "NUM" and any(map(_infinite, case.texts))
    ),
    "an operand may leave out the nought before its point, as values may; there it is no number": (
        lambda case: case.kind == "NUM" and case.operand.startswith(".")
    ),
    "an operand with blanks around it is refused; there they are cut off": (
        lambda case: case.kind in ("NUM", "SEMVER") and case.operand != case.operand.strip()
    ),
    "a moment may be seconds since 1970, or leave out seconds, T or the sixth digit on; there it is RFC 3339 to the letter": (
        lambda case: case.kind == "DATE" and not _to_the_letter(case)
    ),
    "what is no version is refused as operand; there it equals itself": (
        lambda case: case.kind == "SEMVER" and case.operand == case.value == "1.0"
    ),
    "a number of over 18 digits makes no version, so that reading one costs nothing": (
        lambda case: case.kind == "SEMVER" and any(re.search(r"\d{19}", text) for text in case.texts)
    ),
    "words and their borders in regular expressions are of ASCII, as RE2 has them; there they are of Unicode": (
        lambda case: case.kind == "REGEX" and case.operand in (r"\w", r"a\b") and not case.texts[1].isascii()
    ),
    "an IPv4 address written as IPv6 is that IPv4 address; there it is none": (
        lambda case: case.kind == "IN_CIDR" and case.texts[1].startswith("::ffff:")
    ),
    "an address may name its zone; there it is no address then": (
        lambda case: case.kind == "IN_CIDR" and "%" in case.texts[1]
    ),
}


def cases(theirs: str, seed: int) -> Iterator[Case]:
    """All pairs of edges, and a drawn operand against drawn values; the drawn ones have no row of their own."""
    rng = random.Random(seed)
    kind = Case(theirs, "", None, False).kind
    operands, values, operand_of, value_of = KINDS[kind]
    for ci in (False, True) if kind in ("text", "REGEX") else (False,):
        for operand, value in itertools.product(operands, (None, *values)):
            yield Case(theirs, operand, value, ci)
        for _ in range(DRAWN):
            operand = operand_of(rng)
            yield from (Case(theirs, operand, value_of(rng), ci) for _ in range(20))


def engine_of(asked: list[Case]) -> Callable[[Case], bool]:
    """Their engine with one toggle for each condition."""
    conditions = sorted({(case.theirs, case.operand, case.ci) for case in asked})
    features = [
        {
            "name": str(number), "enabled": True, "type": "release",
            "strategies": [{"name": "default", "parameters": {}, "constraints": [
                {"contextName": "x", "operator": theirs, "caseInsensitive": ci, "value": operand, "values": [operand]}
            ]}],
        }
        for number, (theirs, operand, ci) in enumerate(conditions)
    ]  # fmt: skip
    engine = UnleashEngine()
    engine.take_state(json.dumps({"version": 2, "features": features}))
    numbers = {condition: str(number) for number, condition in enumerate(conditions)}

    def ask(case: Case) -> bool:
        properties = {} if case.value is None else {"x": case.value}
        found = engine.is_enabled(numbers[case.theirs, case.operand, case.ci], {"properties": properties})
        assert found.is_found
        return bool(found.is_enabled)

    return ask


def verdict(case: Case) -> bool:
    """What we say; an operand that cannot be read fits nothing, since the file that has it is refused."""
    condition = case.condition()
    if list(faults(condition)):
        return False
    return holds(condition, {})(None if case.value is None else (case.value,))


@cache
def differing(theirs: str) -> tuple[int, list[Case]]:
    asked = list(cases(theirs, seed=20_261_125))
    ask = engine_of(asked)
    return len(asked), [case for case in asked if ask(case) is not verdict(case)]


@pytest.mark.parametrize("theirs", NAMES)
def test_every_verdict_is_the_same_or_differs_for_a_reason(theirs: str) -> None:
    count, other = differing(theirs)
    assert count > 3_000
    assert [case for case in other if not any(meant(case) for meant in DIFFERENCES.values())] == []
    # What is meant is a corner: nearly all verdicts are the same.
    assert len(other) < count / 50


def test_every_reason_is_met() -> None:
    other = [case for theirs in NAMES for case in differing(theirs)[1]]
    met = {reason for reason, meant in DIFFERENCES.items() if any(map(meant, other))}
    assert met == set(DIFFERENCES)


def test_both_fit_and_do_not_fit_often_enough_to_tell() -> None:
    for theirs in NAMES:
        said = [verdict(case) for case in cases(theirs, seed=1)]
        assert 0.005 < sum(said) / len(said) < 0.995, theirs
