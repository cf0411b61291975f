"""Flags and runs: one compare-and-set writes all or nothing, whatever stands in its way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from router.errors import Fenced, SpecError, StaleRevision, StoreUnavailable
from router.flag import Arm, Flag, Lane, RunningExperiment, UnitSource
from router.local.redis_server import RedisServer
from router.store.connect import connect
from router.store.differences import differences
from router.store.flags import Change, Ended, FlagStore
from router.store.keys import Keys
from router.store.lease import Lease

AUDIT = {"actor": "ann", "action": "apply", "reason": "test", "route": "web", "run": "better.1"}


def flag(revision: int = 1, route: str = "web", coverage: int = 0) -> Flag:
    lanes = (Lane("v2", "treatment", 0, 500_000), Lane("v1", "control", 500_000, 500_000))
    return Flag(
        route, UnitSource("person", (("header", "x"),)), (Arm("v1", "http://a"), Arm("v2", "http://b")), "v1",
        revision=revision, experiments=(RunningExperiment("better.1", "better", 1, f"{route}:1", lanes, coverage),),
    )  # fmt: skip


def run(version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "run": "better.1",
        "experiment": "better",
        "version": version,
        "state": "held",
        "step": -1,
        **more,
    }


def everything(client: redis.Redis, keys: Keys) -> dict[bytes, Any]:
    """All that stands below the prefix, for 'nothing was written'."""
    found: dict[bytes, Any] = {}
    for key in sorted(client.scan_iter(keys.prefix + "*")):
        found[key] = client.dump(key)
    return found


def test_a_change_is_read_back_whole(store: FlagStore) -> None:
    store.commit(Change(AUDIT, flag(), run(), {"web": "route: web"}))
    live = store.live()
    assert live.flags == {"web": flag()}
    assert live.runs == {"better.1": run()}
    assert (live.latest, live.files, live.corrupt) == ({"better": "better.1"}, {"web": "route: web"}, {})
    assert (store.flag("web"), store.run("better.1"), store.latest_run("better")) == (flag(), run(), run())
    assert store.runs() == {"better.1": run()}
    assert (store.flag("phone"), store.run("x"), store.latest_run("x")) == (None, None, None)
    assert store.audit()[0]["actor"] == "ann"


def test_an_empty_store_reads_as_empty(store: FlagStore) -> None:
    live = store.live()
    assert (live.flags, live.runs, live.latest, live.files, live.corrupt) == ({}, {}, {}, {}, {})
    assert store.audit() == []


def test_the_later_of_two_writers_gets_both_revisions_and_the_difference(store: FlagStore) -> None:
    store.commit(Change(AUDIT, flag(1)))
    store.commit(Change(AUDIT, flag(2, coverage=10_000)))
    with pytest.raises(StaleRevision) as caught:
        store.commit(Change(AUDIT, flag(2, coverage=999)))
    stale = caught.value
    assert (stale.what, stale.expected, stale.found) == ("flag web", 1, 2)
    assert "coverage" in stale.difference
    assert store.flag("web") == flag(2, coverage=10_000)


def test_a_new_flag_must_not_exist_and_an_old_one_must(store: FlagStore) -> None:
    with pytest.raises(StaleRevision, match="does not exist"):
        store.commit(Change(AUDIT, flag(5)))
    store.commit(Change(AUDIT, flag(1)))
    with pytest.raises(StaleRevision):
        store.commit(Change(AUDIT, flag(1)))


def test_a_stale_run_keeps_the_flag_from_being_written(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(1), run(1)))
    before = everything(client, keys)
    with pytest.raises(StaleRevision) as caught:
        store.commit(Change(AUDIT, flag(2), run(3, state="running"), {"web": "new"}))
    assert (caught.value.what, caught.value.expected, caught.value.found) == ("run better.1", 2, 1)
    assert "state" in caught.value.difference
    assert everything(client, keys) == before


def test_a_stale_flag_keeps_the_run_from_being_written(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(1), run(1)))
    before = everything(client, keys)
    with pytest.raises(StaleRevision):
        store.commit(Change(AUDIT, flag(7), run(2)))
    assert everything(client, keys) == before


SUPERSEDED = Ended(run(2, state="superseded"), {**AUDIT, "action": "supersede"})
RESTART = Change(
    {**AUDIT, "action": "restart", "run": "better.2"},
    flag(2),
    {**run(1), "run": "better.2"},
    superseded=SUPERSEDED,
)


def test_a_run_and_the_one_it_supersedes_are_written_as_one_step(store: FlagStore) -> None:
    store.commit(Change(AUDIT, flag(), run()))
    store.commit(RESTART)
    live = store.live()
    assert {name: state["state"] for name, state in live.runs.items()} == {
        "better.1": "superseded",
        "better.2": "held",
    }
    assert (live.latest, live.flags["web"].revision) == ({"better": "better.2"}, 2)
    assert [entry["action"] for entry in store.audit()] == ["restart", "supersede", "apply"]


@pytest.mark.parametrize("moved", ["flag", "ended run", "new run"])
def test_whatever_moved_keeps_a_run_from_being_superseded(
    moved: str, store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(), run()))
    newer = flag(2) if moved == "flag" else None
    states = {"ended run": run(2), "new run": {**run(1), "run": "better.2"}}
    store.commit(Change(AUDIT, newer, states.get(moved)))
    before = everything(client, keys)
    with pytest.raises(StaleRevision) as stale:
        store.commit(RESTART)
    assert (
        stale.value.what
        == {"flag": "flag web", "ended run": "run better.1", "new run": "run better.2"}[moved]
    )
    assert everything(client, keys) == before


def test_eight_writers_leave_revisions_without_gap_or_twin_and_an_audit_as_long(
    shared_url: str, store: FlagStore, keys: Keys
) -> None:
    store.commit(Change({"to": 1}, flag(1)))
    won: list[int] = []
    wanted = 200

    def write() -> None:
        with connect(shared_url) as own:
            mine = FlagStore(own, keys)
            for _ in range(wanted):
                while True:
                    current = mine.flag("web")
                    assert current is not None
                    change = Change({"to": current.revision + 1}, current.with_revision(current.revision + 1))
                    try:
                        mine.commit(change)
                    except StaleRevision:
                        continue
                    won.append(current.revision + 1)
                    break

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(2, 8 * wanted + 2))
    audited = [entry["to"] for entry in store.audit(5000)]
    assert audited == list(range(8 * wanted + 1, 0, -1))


TOUCHED = (
    "flags",
    "revisions",
    "runs",
    "experiments",
    "files",
    "audit",
    "token",
    "meta",
    "kept",
    "changes",
    "ahead",
)


@pytest.mark.parametrize("name", TOUCHED)
def test_a_key_of_another_type_leaves_nothing_half_written(
    name: str, store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    client.sadd(getattr(keys, name), "stranger")
    before = everything(client, keys)
    with pytest.raises(StoreUnavailable, match=f"key .*{name} holds a set"):
        store.commit(Change(AUDIT, flag(), run(), {"web": "text"}))
    assert everything(client, keys) == before


def test_an_old_leader_is_fenced_and_a_person_is_not(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    clock = [1_000]
    old = Lease(client, keys, "old", 50, lambda: clock[0]).acquire()
    client.delete(keys.lease)
    new = Lease(client, keys, "new", 5000, lambda: clock[0]).acquire()
    assert old is not None
    assert new == old + 1
    before = everything(client, keys)
    with pytest.raises(Fenced):
        store.commit(Change(AUDIT, flag(1), run(1), token=old))
    assert everything(client, keys) == before
    store.commit(Change(AUDIT, flag(1), run(1), token=new))
    store.commit(Change(AUDIT, flag(2), run(2)))
    assert store.flag("web") == flag(2)


def test_a_leader_without_any_token_in_the_store_is_fenced(store: FlagStore) -> None:
    with pytest.raises(Fenced):
        store.commit(Change(AUDIT, flag(1), token=17))


def test_a_notice_names_the_route(store: FlagStore, client: redis.Redis, keys: Keys) -> None:
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.notice)
        assert pubsub.get_message(timeout=10) is not None  # the subscription itself
        store.commit(Change(AUDIT, run=run()))  # nothing that gateways would have to read
        store.commit(Change(AUDIT, flag()))
        message = pubsub.get_message(timeout=10)
        assert message is not None
        assert message["data"] == b"web"


def test_a_corrupt_flag_or_run_is_named_and_leaves_the_others(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(), run()))
    for route, text in (("bad", b"{"), ("worse", b"\xff\xff")):
        client.hset(keys.flags, route, text)
        client.hset(keys.runs, f"{route}.1", text)
    live = store.live()
    assert (list(live.flags), list(live.runs)) == (["web"], ["better.1"])
    assert set(live.corrupt) == {"bad", "worse", "run bad.1", "run worse.1"}
    assert list(store.runs()) == ["better.1"]
    for read in (lambda: store.flag("bad"), lambda: store.run("bad.1")):
        with pytest.raises(SpecError):
            read()


def test_changes_are_read_in_their_order_and_each_once(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    assert store.moved(0).changed == {}
    for made in (flag(1), flag(1, "phone"), flag(2)):
        store.commit(Change(AUDIT, made))
    found = store.moved(0)
    assert list(found.changed) == ["phone", "web"]
    assert (found.changed["web"].revision, found.position, found.latest) == (2, 3, 3)
    store.commit(Change(AUDIT, run=run()))  # nothing that gateways would have to read
    assert store.moved(3).changed == {}
    client.hset(keys.flags, "phone", b"{")
    store.commit(Change(AUDIT, flag(3)))
    again = store.moved(1)
    assert (list(again.changed), list(again.corrupt), again.position) == (["web"], ["phone"], 4)


def test_below_what_a_gateway_routes_by_nothing_is_written_but_the_store_s_flag_above_it(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(1)))
    client.hset(keys.ahead, "web", 7)
    with pytest.raises(StaleRevision) as caught:
        store.commit(Change(AUDIT, flag(2, coverage=10_000)))
    assert (caught.value.expected, caught.value.found) == (1, 8)
    assert store.flag("web") == flag(8)
    assert [entry["action"] for entry in store.audit(1)] == ["lift"]
    assert client.hgetall(keys.ahead) == {}
    store.commit(Change(AUDIT, flag(9, coverage=10_000)))


def test_a_leader_lifts_what_gateways_are_ahead_of_and_forgets_what_is_gone(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(1)))
    client.hset(keys.ahead, mapping={"web": 4, "never": 3})
    assert store.lift(1_000, None) == ["web"]
    assert store.flag("web") == flag(5)
    assert client.hgetall(keys.ahead) == {}
    assert store.lift(1_000, None) == []


def test_the_store_has_one_identity_from_its_first_write(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    store.commit(Change(AUDIT, flag(1)))
    first = client.hget(keys.meta, "store_id")
    store.commit(Change(AUDIT, flag(2)))
    assert first
    assert client.hget(keys.meta, "store_id") == first


def test_the_audit_log_is_newest_first_and_can_be_asked_by_run_and_route(store: FlagStore) -> None:
    for revision in (1, 2, 3):
        store.commit(Change({**AUDIT, "n": revision}, flag(revision)))
    store.commit(Change({"route": "phone", "run": "other.1", "n": 4}, flag(1, "phone")))
    assert [entry["n"] for entry in store.audit()] == [4, 3, 2, 1]
    assert [entry["n"] for entry in store.audit(2, route="web")] == [3, 2]
    assert [entry["n"] for entry in store.audit(run="other.1")] == [4]


def test_heartbeats_show_who_is_alive_and_forget_who_is_long_gone(
    store: FlagStore, client: redis.Redis, keys: Keys
) -> None:
    for writer, time in (("now", 100_000), ("late", 94_000), ("gone", 1_000)):
        store.heartbeat(writer, {"writer": writer, "time": time})
    client.hset(keys.gateways, "torn", b"{")
    assert [row["writer"] for row in store.heartbeats(100_000)] == ["now"]
    assert {name.decode() for name in client.hkeys(keys.gateways)} == {"now", "late"}  # type: ignore[union-attr]


def test_differences_are_a_line_each_with_their_path() -> None:
    lines = list(differences({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5}, "e": 6}))
    assert lines == ["b.c: 2 -> 5", "b.d: 3 -> None", "e: None -> 6"]


def test_flags_are_written_and_rolled_back_on_a_full_redis(
    servers: Callable[..., RedisServer], keys: Keys
) -> None:
    server = servers()
    with connect(server.url) as own:
        store = FlagStore(own, keys)
        store.commit(Change(AUDIT, flag(1), run(1)))
        own.config_set("maxmemory", 1)  # whatever it holds is too much
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            own.set(f"{keys.prefix}filler", b"x")
        lease = Lease(own, keys, "leader", 5000, lambda: 1_000)
        token = lease.acquire()
        store.commit(
            Change(AUDIT, flag(2).with_closed("better.1", "v2"), run(2, state="rolled_back"), token=token)
        )
        read = store.flag("web")
        assert read is not None
        assert [lane.state for lane in read.experiments[0].lanes] == ["closed", "open"]
        assert len(store.audit()) == 2
