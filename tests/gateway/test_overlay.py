"""A mapping that shares: after any changes it is the dictionary that the same changes make."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.gateway import overlay
from router.gateway.overlay import Overlay

CHANGES = st.lists(st.dictionaries(st.integers(0, 9), st.one_of(st.none(), st.text(max_size=2)), max_size=5))


@given(CHANGES, st.integers(0, 6))
def test_after_any_changes_it_is_the_dictionary_that_they_make(
    changes: list[dict[int, str | None]], most: int
) -> None:
    made: Overlay[int, str] = Overlay.empty()
    expected: dict[int, str] = {}
    before: list[tuple[Mapping[int, str], dict[int, str]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "MOST", most)
        for one in changes:
            before.append((made, dict(expected)))
            made = made.changed(one)
            expected = {key: value for key, value in (expected | one).items() if value is not None}
            assert dict(made) == expected
            assert len(made) == len(expected)
            assert {key: made.get(key) for key in range(10)} == {key: expected.get(key) for key in range(10)}
    assert all(dict(old) == wanted for old, wanted in before)  # no generation was touched by a later one


def test_a_change_copies_its_layer_and_not_the_base() -> None:
    empty: Overlay[int, str] = Overlay.empty()
    large = empty.changed({number: str(number) for number in range(10_000)})
    small = large.changed({1: "one"}).changed({2: None})
    assert small.base is large.base
    assert small.over == {1: "one", 2: None}
