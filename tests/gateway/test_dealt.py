"""Units of late: the gate remembers what it dealt them, and never for longer than the flag that said so."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from router.assignment import CompiledFlag
from router.bucketing import PPM
from router.flag import Flag
from router.gateway.routing import KNOWN_MOST, KNOWN_OCTETS
from router.gateway.snapshot import CompiledRoute
from router.gateway.ticket import Ticket
from router.rules import Condition, Rule
from tests.gateway.flags import DIGEST, Bench, experiment, flag, head

UNITS = st.lists(st.sampled_from([f"p{i}" for i in range(12)]), max_size=40)


def dealt(bench: Bench, unit: str) -> Ticket:
    return bench.gate.route(head(x_person=unit), None)


@given(UNITS, st.lists(st.integers(0, PPM), min_size=1, max_size=4))
def test_who_comes_again_gets_what_the_flag_of_now_says(units: list[str], coverages: list[int]) -> None:
    bench = Bench()
    for revision, coverage in enumerate(coverages, start=1):
        now: Flag = flag(experiments=(experiment(coverage),), revision=revision)
        bench.show(now)
        fresh = CompiledFlag(now)
        for unit in units:
            ticket, expected = dealt(bench, unit), fresh.assign(unit.encode())
            assert ticket.arm is not None
            assert (ticket.arm.name, ticket.reason, ticket.arm_index) == (
                expected.arm, expected.reason, expected.arm_index,
            )  # fmt: skip
            assert ticket.unit == DIGEST(unit.encode())


def test_two_routes_deal_the_same_unit_apart() -> None:
    bench = Bench(
        flag("one", "/one", experiments=(experiment(treatment=PPM),)),
        flag("two", "/two", experiments=(experiment(treatment=0),)),
    )
    for _ in range(3):
        arms = [bench.gate.route(head(path, x_person="ann"), None).arm for path in ("/one", "/two")]
        assert [arm.name for arm in arms if arm is not None] == ["v2", "v1"]


def test_what_hangs_on_more_than_the_unit_is_asked_each_time() -> None:
    rule = Rule("de", (Condition("country", "eq", ("DE",)),), "v2")
    bench = Bench(flag(attributes=(("country", "header", "x-country"),), rules=(rule,)))
    seen = [
        bench.gate.route(head(x_person="ann", x_country=country), None).arm for country in ("DE", "FR", "DE")
    ]
    assert [arm.name for arm in seen if arm is not None] == ["v2", "v1", "v2"]


def test_a_long_unit_is_dealt_and_not_kept() -> None:
    bench = Bench(flag(experiments=(experiment(treatment=PPM),)))
    for _ in range(2):
        ticket = dealt(bench, "p" * (KNOWN_OCTETS + 1))
        assert ticket.arm is not None
        assert (ticket.arm.name, bench.gate._known) == ("v2", {})


def test_no_flag_of_before_is_kept_for_the_sake_of_who_asked_then() -> None:
    def compiled() -> list[int]:
        gc.collect()
        routes = [one for one in gc.get_objects() if isinstance(one, CompiledRoute)]
        return [route.flag.revision for route in routes if route.flag.route == "forgotten"]

    bench = Bench(flag("forgotten", experiments=(experiment(),)))
    dealt(bench, "ann")
    assert compiled() == [1]
    bench.show(flag("forgotten", experiments=(experiment(),), revision=2))
    assert (len(bench.gate._known), compiled()) == (1, [2])


def test_it_remembers_so_many_and_no_more() -> None:
    bench = Bench(flag(experiments=(experiment(),)), buffer_rows=10 * KNOWN_MOST)
    for number in range(KNOWN_MOST + 10):
        dealt(bench, f"p{number}")
    assert 0 < len(bench.gate._known) <= KNOWN_MOST
