"""The ledger: every event has its effect exactly once, wherever a crash or another leader comes in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from router.errors import Fenced, SpecError, StoreUnavailable
from router.event_rows import EXPOSURE, pack_where
from router.events import Entry, decode
from router.local.redis_server import RedisServer
from router.store.connect import connect
from router.store.events import EventLog
from router.store.keys import Keys
from router.store.ledger import Batch, Ledger

RUN = "better.1"
TOKEN = 1_000


class CrashError(Exception):
    """The process ends here."""


class CrashingRedis(redis.Redis):
    """Ends the process before or after its n-th command."""

    left = -1
    after = False

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command, unless the crash comes first."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise CrashError
        answer = super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
        if self.left == 0:
            raise CrashError
        return answer


def fill(client: redis.Redis, keys: Keys, entries: int = 12, rows: int = 5) -> Counter[int]:
    """Write entries with repeated units; the rows of each unit."""
    log = EventLog(client, keys)
    seen: Counter[int] = Counter()
    for i in range(entries):
        entry = Entry("writer", i + 1, 1, 1, 1_000 + i)
        for j in range(rows):
            unit = (i * 3 + j) % 7
            entry.requests.append(unit, j, pack_where(j, 1, EXPOSURE), 0)
            seen[unit] += 1
        log.append(RUN, entry)
    return seen


def fold(ledger: Ledger, token: int = TOKEN, count: int = 3) -> Iterator[int]:
    """Fold all there is, as simply as can be: a unit's record is its number of rows."""
    ledger.stamp(token)
    book = ledger.load()
    cursor, moments = book.cursor, dict(book.moments)
    folded = int(book.state or b"0")
    while entries := ledger.read(cursor, count):
        rows = Counter(unit for _, fields in entries for unit in decode(fields).requests.unit)
        known = ledger.units(list(rows))
        batch = Batch()
        for (unit, number), record in zip(rows.items(), known, strict=True):
            before = int(record or b"0")
            batch.units[unit] = str(before + number).encode()
            batch.due[unit] = 10_000 + unit
            moments["n"] = moments.get("n", 0) + number
            moments["squares"] = moments.get("squares", 0) + (before + number) ** 2 - before**2
        batch.moments = moments
        folded += len(entries)
        ledger.commit(token, cursor, entries[-1][0], str(folded).encode(), batch)
        cursor = entries[-1][0]
        ledger.trim(cursor)
        yield folded


def expected(seen: Counter[int]) -> dict[str, int]:
    return {"n": sum(seen.values()), "squares": sum(n * n for n in seen.values())}


def test_a_fold_sums_every_row_once(client: redis.Redis, keys: Keys) -> None:
    seen = fill(client, keys)
    ledger = Ledger(client, keys, RUN)
    assert list(fold(ledger)) == [3, 6, 9, 12]
    book = ledger.load()
    assert (book.moments, book.state) == (expected(seen), b"12")
    assert [int(r or 0) for r in ledger.units(sorted(seen))] == [seen[unit] for unit in sorted(seen)]
    assert list(fold(ledger)) == []


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_between_any_two_commands_changes_no_sum(
    after: bool, shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    seen = fill(client, keys)
    list(fold(Ledger(client, keys, RUN)))  # loads the scripts, so that each round counts the same commands
    crashes = 0
    for left in range(1, 200):
        for key in client.scan_iter(f"{keys.prefix}*"):
            client.delete(key)
        fill(client, keys)
        mortal = CrashingRedis(connection_pool=redis.ConnectionPool.from_url(shared_url))
        ledger = Ledger(mortal, keys, RUN)
        mortal.left, mortal.after = left, after
        try:
            list(fold(ledger))
        except CrashError:
            crashes += 1
        else:
            break
        finally:
            mortal.left = -1
            mortal.close()
            mortal.connection_pool.disconnect()
        heir = Ledger(client, keys, RUN)
        list(fold(heir, TOKEN + 1))
        assert heir.load().moments == expected(seen), f"crash at command {left}"
        assert heir.load().state == b"12"
    assert crashes > 15


def test_an_old_leader_can_no_longer_commit_nor_stamp(client: redis.Redis, keys: Keys) -> None:
    fill(client, keys)
    old, new = Ledger(client, keys, RUN), Ledger(client, keys, RUN)
    folding = fold(old)
    assert next(folding) == 3
    new.stamp(TOKEN + 1)
    before = new.load()
    with pytest.raises(Fenced):
        next(folding)
    with pytest.raises(Fenced):
        old.stamp(TOKEN)
    assert new.load() == before


def test_a_commit_from_another_cursor_changes_nothing(client: redis.Redis, keys: Keys) -> None:
    fill(client, keys)
    ledger = Ledger(client, keys, RUN)
    list(fold(ledger))
    before = ledger.load()
    with pytest.raises(Fenced, match=r"the cursor of better\.1 stands at"):
        ledger.commit(TOKEN, b"0-0", b"9-9", b"x", Batch({1: b"1"}, {1: 1}, {"n": 1}))
    assert ledger.load() == before


@pytest.mark.parametrize("name", ["cursor", "units", "due", "moments"])
def test_a_key_of_another_type_leaves_nothing_half_written(
    name: str, client: redis.Redis, keys: Keys
) -> None:
    run = keys.run(RUN)
    client.set(getattr(run, name), "stranger")
    ledger = Ledger(client, keys, RUN)
    before = sorted(client.scan_iter(keys.prefix + "*"))
    with pytest.raises(StoreUnavailable, match="holds a string"):
        ledger.commit(TOKEN, b"0-0", b"1-1", b"x", Batch({1: b"1"}, {1: 1}, {"n": 1}))
    assert sorted(client.scan_iter(keys.prefix + "*")) == before
    client.delete(getattr(run, name))


def test_lists_that_do_not_add_up_change_nothing(client: redis.Redis, keys: Keys) -> None:
    ledger = Ledger(client, keys, RUN)
    ledger.stamp(TOKEN)
    run = keys.run(RUN)
    names = [run.cursor, run.units, run.due, run.moments]
    for arguments in (["2", "a", "1", "0", "0", "2", "n"], ["0", "0", "0", "0", "1"], ["0", "0"]):
        with pytest.raises(StoreUnavailable):
            ledger._fold(names, [str(TOKEN), "0-0", "1-1", "x", *arguments])
    assert client.hgetall(run.cursor) == {b"token": str(TOKEN).encode()}
    assert client.exists(run.units, run.due, run.moments) == 0


def test_sums_beyond_what_lua_and_redis_count_are_kept_to_the_last_digit(
    client: redis.Redis, keys: Keys
) -> None:
    ledger = Ledger(client, keys, RUN)
    ledger.stamp(TOKEN)
    large = {"squares": 10**40 + 7, "negative": -(2**80) + 1, "2^53": 2**53 + 1}
    ledger.commit(TOKEN, b"0-0", b"1-1", b"", Batch(moments=large))
    assert ledger.load().moments == large


def test_large_batches_are_written_whole(client: redis.Redis, keys: Keys) -> None:
    ledger = Ledger(client, keys, RUN)
    ledger.stamp(TOKEN)
    units = list(range(2**63, 2**63 + 5_001))
    ledger.commit(
        TOKEN, b"0-0", b"1-1", b"", Batch(dict.fromkeys(units, b"r"), {u: u - 2**63 for u in units})
    )
    assert ledger.units(units) == [b"r"] * len(units)
    assert ledger.due(5_000, 10_000) == units[:-1]
    ledger.commit(TOKEN, b"1-1", b"2-2", b"", Batch(due=dict.fromkeys(units[:-1])))
    assert ledger.due(10_000, 10_000) == units[-1:]


def test_due_units_come_earliest_first_and_not_before_their_time(client: redis.Redis, keys: Keys) -> None:
    ledger = Ledger(client, keys, RUN)
    ledger.stamp(TOKEN)
    ledger.commit(TOKEN, b"0-0", b"1-1", b"", Batch(due={1: 300, 2: 100, 3: 200, 2**64 - 1: 400}))
    assert ledger.due(300, 10) == [2, 3]
    assert ledger.due(301, 2) == [2, 3]
    assert ledger.due(10**15, 10) == [2, 3, 1, 2**64 - 1]
    assert ledger.units([]) == []


def test_trimming_never_takes_what_is_not_folded(client: redis.Redis, keys: Keys) -> None:
    fill(client, keys, entries=500, rows=40)
    ledger = Ledger(client, keys, RUN)
    entries = ledger.read(b"0-0", 300)
    for _ in range(5):
        ledger.trim(entries[-1][0])
    assert 200 <= ledger.length() < 500
    assert len(ledger.read(entries[-1][0], 1_000)) == 200


def test_a_poisoned_entry_is_kept_once_with_its_reason(client: redis.Redis, keys: Keys) -> None:
    run = keys.run(RUN)
    ids: Any = [client.xadd(run.events, {"h": b"poison %d" % i}) for i in range(3)]
    ledger = Ledger(client, keys, RUN)
    for _ in range(2):  # the second round is the one after a crash
        for entry_id, fields in ledger.read(b"0-0", 10):
            try:
                decode(fields)
            except SpecError as problem:
                ledger.dead_letter(entry_id, fields, str(problem))
    dead: Any = client.xrange(run.dead)
    assert [entry_id for entry_id, _ in dead] == ids
    assert dead[1][1][b"h"] == b"poison 1"
    assert dead[1][1][b"reason"].startswith(b"entry.h: expected")


def test_poison_with_thousands_of_fields_cannot_stop_the_fold(client: redis.Redis, keys: Keys) -> None:
    ledger = Ledger(client, keys, RUN)
    ledger.dead_letter(b"5-1", {b"f%d" % i: b"x" for i in range(20_000)}, "endless")
    dead: Any = client.xrange(keys.run(RUN).dead)
    assert dead[0][1][b"reason"] == b"endless"


def test_the_fold_goes_on_in_a_full_redis_and_writers_are_refused(
    servers: Callable[..., RedisServer], keys: Keys
) -> None:
    server = servers()
    with connect(server.url) as own:
        seen = fill(own, keys)
        own.config_set("maxmemory", 1)  # whatever it holds is too much
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            own.set(f"{keys.prefix}filler", b"x")
        with pytest.raises(StoreUnavailable, match="append"):
            EventLog(own, keys).append(RUN, Entry("writer", 99, 1, 1, 1))
        ledger = Ledger(own, keys, RUN)
        list(fold(ledger))
        ledger.dead_letter(b"1-1", {b"h": b"x"}, "poison")
        assert ledger.load().moments == expected(seen)


def test_scripts_survive_a_restart_of_redis(servers: Callable[..., RedisServer], keys: Keys) -> None:
    server = servers(persistent=True)
    with connect(server.url) as own:
        seen = fill(own, keys)
        ledger = Ledger(own, keys, RUN)
        folding = fold(ledger)
        next(folding)
        server.kill()
        with pytest.raises(StoreUnavailable):
            next(folding)
        server.restart()
        list(fold(ledger))
        assert ledger.load().moments == expected(seen)
