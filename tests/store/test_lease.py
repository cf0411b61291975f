"""The lease: one leader at a time, and a token that only grows."""

from __future__ import annotations

import redis

from router.store.keys import Keys
from router.store.lease import Lease


def lease(client: redis.Redis, keys: Keys, owner: str, now: int = 1_000) -> Lease:
    return Lease(client, keys, owner, 60_000, lambda: now)


def test_one_leads_and_renews_under_one_token(client: redis.Redis, keys: Keys) -> None:
    one, other = lease(client, keys, "one"), lease(client, keys, "other")
    token = one.acquire()
    assert token == 1_000
    assert other.acquire() is None
    assert one.acquire() == token
    assert 0 < client.pttl(keys.lease) <= 60_000


def test_each_new_leader_has_a_larger_token_whatever_its_clock_says(client: redis.Redis, keys: Keys) -> None:
    tokens = []
    for owner, now in (("a", 5_000), ("b", 4_000), ("c", 4_500), ("d", 9_000)):
        one = lease(client, keys, owner, now)
        tokens.append(one.acquire())
        one.release()
    assert tokens == [5_000, 5_001, 5_002, 9_000]


def test_a_leader_that_comes_back_after_its_lease_ended_gets_a_new_token(
    client: redis.Redis, keys: Keys
) -> None:
    one = lease(client, keys, "one")
    first = one.acquire()
    client.delete(keys.lease)
    second = one.acquire()
    assert first is not None
    assert second == first + 1


def test_only_the_owner_can_give_the_lease_back(client: redis.Redis, keys: Keys) -> None:
    one, other = lease(client, keys, "one"), lease(client, keys, "other")
    one.acquire()
    other.release()
    assert other.acquire() is None
    one.release()
    assert other.acquire() is not None


def test_a_lost_token_does_not_leave_the_house_without_a_leader(client: redis.Redis, keys: Keys) -> None:
    one = lease(client, keys, "one")
    one.acquire()
    client.delete(keys.token)
    assert one.acquire() == 1_000
