"""A mapping that shares: after any changes it is the dictionary that the same changes make."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from router.gateway.parts import LAST, Parts

# Some share a part.
KEYS = st.sampled_from([*range(6), *range(LAST + 1, LAST + 5)])
CHANGES = st.lists(st.dictionaries(KEYS, st.one_of(st.none(), st.text(max_size=2)), max_size=5))


@given(CHANGES)
def test_after_any_changes_it_is_the_dictionary_that_they_make(changes: list[dict[int, str | None]]) -> None:
    made: Parts[int, str] = Parts.empty()
    expected: dict[int, str] = {}
    before: list[tuple[Mapping[int, str], dict[int, str]]] = []
    for one in changes:
        before.append((made, dict(expected)))
        made = made.changed(one)
        expected = {key: value for key, value in (expected | one).items() if value is not None}
        assert dict(made) == expected
        assert len(made) == len(expected)
        assert {key: made.get(key) for key in range(2 * LAST)} == {
            key: expected.get(key) for key in range(2 * LAST)
        }
    assert all(dict(old) == wanted for old, wanted in before)  # no generation was touched by a later one


def test_a_change_copies_the_parts_that_it_touches_and_no_others() -> None:
    empty: Parts[int, str] = Parts.empty()
    large = empty.changed({number: str(number) for number in range(10_000)})
    small = large.changed({1: "one"}).changed({2: None})
    touched = [at for at, part in enumerate(small.parts) if part is not large.parts[at]]
    assert touched == [1, 2]
    assert len(small) == 9_999
