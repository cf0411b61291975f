"""A deleted route in the store, and how gateways hear of it: only what was taken away on purpose is let go."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import redis

from router.deletion import begun_again, deleted
from router.errors import StaleRevision
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from tests.store.test_watch import Held, flag, follow, until, write


def take_away(client: redis.Redis, keys: Keys, route: str) -> None:
    store = FlagStore(client, keys)
    live = store.flag(route)
    assert live is not None
    store.commit(Change({"action": "delete"}, deleted(live), deletes=True))


def test_it_is_gone_from_what_lives_and_kept_for_the_way_back(
    client: redis.Redis, keys: Keys, store: FlagStore
) -> None:
    write(client, keys, flag("web", 1), flag("web", 2), flag("phone", 1))
    position = store.moved(0).position
    take_away(client, keys, "web")
    live = store.live()
    assert (set(live.flags), live.corrupt) == ({"phone"}, {})
    assert live.deleted == {"web": flag("web", 3)}
    assert (store.flag("web"), store.deleted("web")) == (None, flag("web", 3))
    assert set(store.revisions("web")) == {1, 2}
    moved = store.moved(position)
    assert (moved.changed, moved.corrupt, moved.gone) == ({}, {}, frozenset({"web"}))
    assert store.audit()[0]["action"] == "delete"


def test_the_name_comes_back_above_its_deletion_and_not_below(
    client: redis.Redis, keys: Keys, store: FlagStore
) -> None:
    write(client, keys, flag("web", 1))
    take_away(client, keys, "web")
    with pytest.raises(StaleRevision) as stale:
        write(client, keys, flag("web", 1))
    assert (stale.value.expected, stale.value.found) == (0, 2)
    assert "the flag does not exist" in stale.value.difference
    again = begun_again(flag("web", 0), store.deleted("web"))
    write(client, keys, again)
    assert (store.flag("web"), store.deleted("web"), store.live().deleted) == (again, None, {})


def test_who_deletes_what_has_moved_is_refused(client: redis.Redis, keys: Keys, store: FlagStore) -> None:
    write(client, keys, flag("web", 1), flag("web", 2))
    with pytest.raises(StaleRevision):
        store.commit(Change({}, deleted(flag("web", 1)), deletes=True))
    assert store.flag("web") == flag("web", 2)


@pytest.mark.parametrize("whole_s", [60.0, 0.02], ids=["by the changes", "by comparing all"])
def test_gateways_let_it_go_and_take_it_again(
    shared_url: str, client: redis.Redis, keys: Keys, whole_s: float
) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("phone", 1))

    async def steps() -> None:
        await until(lambda: set(held.flags) == {"web", "phone"})
        take_away(client, keys, "web")
        await until(lambda: set(held.flags) == {"phone"})
        write(client, keys, flag("web", 3, "v2"))
        await until(lambda: held.revisions() == {"web": 3, "phone": 1})

    follow(shared_url, keys, held, steps, whole_s=whole_s)
    assert (held.broken, held.wipes) == ({}, 0)


def test_a_gateway_that_starts_with_an_old_copy_lets_it_go(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    write(client, keys, flag("web", 1), flag("phone", 1))
    held = Held()

    async def read() -> None:
        await until(lambda: len(held.flags) == 2)

    follow(shared_url, keys, held, read)
    take_away(client, keys, "web")

    async def let_go() -> None:
        await until(lambda: set(held.flags) == {"phone"})

    follow(shared_url, keys, held, let_go, whole_s=60)


@pytest.mark.parametrize(
    "token", ["1:", "2:0a0a0a0a", None], ids=["an older deletion", "no deletion", "nothing"]
)
def test_a_flag_that_is_merely_missing_stays(
    shared_url: str, client: redis.Redis, keys: Keys, token: str | None
) -> None:
    """Somebody cut it out by hand, or a part of the store was lost."""
    held = Held()
    write(client, keys, flag("web", 1), flag("web", 2))

    async def steps() -> None:
        await until(lambda: held.revisions() == {"web": 2})
        client.hdel(keys.flags, "web")
        if token is None:
            client.hdel(keys.revisions, "web")
        else:
            client.hset(keys.revisions, "web", token)
        write(client, keys, flag("phone", 1))
        await until(lambda: "phone" in held.flags)
        changes: Any = client.hincrby(keys.meta, "changes", 1)
        client.zadd(keys.changes, {"web": changes})
        write(client, keys, msgspec.structs.replace(flag("phone", 2)))
        await until(lambda: held.revisions().get("phone") == 2)
        assert held.revisions()["web"] == 2

    follow(shared_url, keys, held, steps)
