"""A mapping that shares: after any changes it is the dictionary that the same changes make."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from router.gateway.parts import BITS, LAST, Parts

ALL = 1 << 2 * BITS
# Some share a group, some a part.
KEYS = st.sampled_from([*range(4), *range(LAST + 1, LAST + 4), *range(ALL, ALL + 4)])
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
        assert {key: made.get(key) for key in range(ALL + 5)} == {
            key: expected.get(key) for key in range(ALL + 5)
        }
    assert all(dict(old) == wanted for old, wanted in before)  # no generation was touched by a later one


def test_a_change_copies_the_parts_that_it_touches_and_no_others() -> None:
    empty: Parts[int, str] = Parts.empty()
    large = empty.changed({number: str(number) for number in range(10_000)})
    small = large.changed({1: "one"}).changed({2: None})
    groups = [at for at, group in enumerate(small.groups) if group is not large.groups[at]]
    assert groups == [1, 2]
    for at in groups:
        parts = zip(small.groups[at], large.groups[at], strict=True)
        assert [part is not before for part, before in parts] == [True] + [False] * LAST
    assert len(small) == 9_999
    assert max(len(part) for group in large.groups for part in group) <= 10_000 // ALL + 1
