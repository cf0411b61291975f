"""What flags leave behind for the collector of garbage: nothing, and nothing that stays is looked through."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from router.gateway.garbage import SETTLE_EVERY, Settling, unsought
from router.rules import Condition, Rule
from tests.gateway.flags import Bench, experiment, flag


@pytest.fixture
def still() -> Iterator[None]:
    """The collector works only when it is told to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class _Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


RICH: dict[str, Any] = {
    "experiments": (experiment(),),
    "places": (("json", "/user/id"), ("header", "x-person")),
    "protocol": "openai",
    "attributes": (("plan", "json", "/plan"), ("country", "header", "x-country")),
    "rules": (Rule("r", (Condition("country", "in", ("DE",)),), "v2"),),
}


@pytest.mark.parametrize("fields", [{}, RICH])
def test_what_a_changed_flag_was_compiled_to_goes_with_its_last_reference(
    fields: dict[str, Any], still: None
) -> None:
    bench = Bench(flag(**fields))
    gc.collect()
    for revision in range(2, 6):
        bench.show(flag(**fields, revision=revision))
    assert gc.collect() == 0


def test_flags_that_came_in_are_looked_through_no_more_and_garbage_is_not_kept_with_them(still: None) -> None:
    settling, before = Settling(), gc.get_freeze_count()
    assert not settling.came(SETTLE_EVERY - 1)
    assert gc.get_freeze_count() == before
    ring = _Ring()
    seen = weakref.ref(ring)
    del ring
    stays = _Ring()
    assert settling.came(1)
    settling.settle()
    assert not settling.came(1)
    assert seen() is None
    assert gc.get_freeze_count() > before
    assert not any(one is stays for one in gc.get_objects())


def test_while_flags_are_loaded_nobody_looks_for_garbage() -> None:
    assert gc.isenabled()
    with unsought():
        assert not gc.isenabled()
    assert gc.isenabled()
