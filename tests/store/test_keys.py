"""Keys: one table, one slot for all keys that a script touches."""

from __future__ import annotations

import re
from dataclasses import astuple

import redis

from router.store import keys as module
from router.store.keys import Keys

FLAG_KEYS = (
    "meta",
    "flags",
    "revisions",
    "changes",
    "ahead",
    "kept",
    "runs",
    "experiments",
    "files",
    "audit",
    "lease",
    "token",
    "gateways",
    "notice",
)


def slot(key: str) -> str:
    found = re.search(r"\{(.+?)\}", key)
    assert found
    return found.group(1)


def test_all_keys_of_routing_share_one_slot() -> None:
    keys = Keys("pm:")
    names = [getattr(keys, name) for name in FLAG_KEYS]
    assert {slot(name) for name in names} == {"flags"}
    assert len(set(names)) == len(names)


def test_all_keys_of_a_partition_share_one_slot_and_partitions_do_not() -> None:
    one, other = Keys("pm:").run("better.1", 0), Keys("pm:").run("better.1", 1)
    assert {slot(name) for name in astuple(one)} == {"better.1:0"}
    assert not set(astuple(one)) & set(astuple(other))


def test_every_key_begins_with_the_prefix() -> None:
    keys = Keys("mine:")
    assert all(getattr(keys, name).startswith("mine:") for name in FLAG_KEYS)
    assert all(name.startswith("mine:") for name in astuple(keys.run("r")))


def test_every_key_is_in_the_table() -> None:
    table = module.__doc__ or ""
    for name in FLAG_KEYS:
        assert f"{{flags}}:{name}" in table
    for name in astuple(Keys("").run("run")):
        assert f"{{run:p}}:{name.rpartition(':')[2]}" in table


def test_the_server_agrees_about_slots(client: redis.Redis) -> None:
    names = astuple(Keys("pm:").run("better.1"))
    try:
        slots = {client.cluster("KEYSLOT", name) for name in names}
    except redis.ResponseError:  # cluster support is switched off here
        return
    assert len(slots) == 1
