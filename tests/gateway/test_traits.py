"""Covariate and segment: read for runs that declare them, from the head, and written beside the exposure."""

from __future__ import annotations

import asyncio

import pytest

from router.errors import SpecError
from router.event_rows import NO_COVARIATE
from router.events import FIXED_POINT, decode, encode
from router.gateway.traits import TraitReader
from router.traits import Traits
from tests.gateway.flags import Bench, experiment, flag, head

BOTH = Traits(("header", "x-visits"), ("cookie", "country"), ("de", "fr"))


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"x_visits": "12.5", "cookie": "a=b; country=fr"}, (12_500_000, 2)),
        ({"x_visits": "0", "cookie": "country=de"}, (0, 1)),
        ({"x_visits": "-3", "cookie": "country=us"}, (-3_000_000, 0)),
        ({"x_visits": "many"}, (NO_COVARIATE, 0)),
        ({"x_visits": "nan"}, (NO_COVARIATE, 0)),
        ({"x_visits": "1e99"}, (NO_COVARIATE, 0)),
        ({"x_visits": "1" * 40}, (NO_COVARIATE, 0)),
        ({}, (NO_COVARIATE, 0)),
    ],
)
def test_a_covariate_is_a_number_and_a_segment_one_of_those_declared(
    fields: dict[str, str], found: tuple[int, int]
) -> None:
    assert TraitReader(BOTH).read(head(**fields)) == found


def test_what_is_not_declared_is_not_read() -> None:
    reader = TraitReader(Traits(covariate=("query", "n")))
    assert reader.read(head("/v2/x?n=7", cookie="country=de")) == (7 * FIXED_POINT, 0)


def test_they_are_written_beside_the_exposure_and_not_beside_its_outcome() -> None:
    bench = Bench(flag(experiments=(experiment(traits=BOTH),)))
    first = bench.gate.route(head(x_person="ann", x_visits="3"), None)
    bench.gate.route(head(x_person="bob"), None)
    asyncio.run(bench.recorder.flush(bench.now))
    bench.gate.finished(first, 200, "ok", 1000)
    bench.gate.route(head(x_person="cid", x_visits="4", cookie="country=de"), None)
    asyncio.run(bench.recorder.flush(bench.now))
    sent = [{name.encode(): octets for name, octets in encode(entry).items()} for entry in bench.log.folded()]
    rows = [decode(fields).requests for fields in sent]
    assert list(rows[0].covariate) == [3 * FIXED_POINT, NO_COVARIATE]
    assert list(rows[1].covariate) == [NO_COVARIATE, 4 * FIXED_POINT]
    assert [list(table.segment) for table in rows] == [[], [0, 1]]


def test_a_flag_without_them_is_stored_as_ever() -> None:
    assert b"traits" not in flag(experiments=(experiment(),)).encode()
    declared = flag(experiments=(experiment(traits=BOTH),))
    assert type(declared).parse(declared.encode()) == declared


@pytest.mark.parametrize(
    "traits",
    [Traits(covariate=("json", "/n")), Traits(segments=("header", "c"), values=("v",) * 256)],
)
def test_a_flag_that_would_wait_for_a_body_or_overflow_a_column_is_refused(traits: Traits) -> None:
    with pytest.raises(SpecError, match="traits"):
        flag(experiments=(experiment(traits=traits),)).check()
