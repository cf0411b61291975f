"""Flags, runs, files and the audit log: read freely, written by one compare-and-set.

People and controller share ``commit``: one script writes the flag, the run's state, the files as applied, the audit
entry and the notice, or nothing at all. Two writers never overwrite each other: the later one gets both revisions.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import redis

from router.errors import Problem, SpecError, StaleRevision
from router.flag import Flag
from router.store.connect import reachable
from router.store.differences import flag_difference, run_difference
from router.store.keys import Keys
from router.store.scripts import Script
from router.store.stored import Live, Moved, documents_of, parse_flags, text_keys

REVISIONS_KEPT = 50
PAGE = 500  # flags that are read at once
LIFTED = (
    "the store had lost later revisions that gateways route by: what it holds was written anew above them"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run whose place another one takes in the same step: its last state and the audit entry that says so."""

    run: Mapping[str, Any]
    audit: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the store: what is written, and what must still be so for it to be written.

    Attributes:
        flag: the new flag, its revision one above the expected one; None leaves flags alone.
        run: the new run state, its ``version`` one above the expected one; None leaves runs alone.
        audit: actor, action, reason, old, new and evidence of the change.
        files: route or experiment name to the text as applied.
        token: the controller's fencing token; None for people.
        superseded: the run that ``run`` takes the place of, its version one above the expected one too.
        after: the expected revision; None is the one before the flag's.
        deletes: the flag is taken away, and ``flag`` is how it was, under the revision of that.
    """

    audit: Mapping[str, Any]
    flag: Flag | None = None
    run: Mapping[str, Any] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    token: int | None = None
    superseded: Ended | None = None
    after: int | None = None
    deletes: bool = False

    @property
    def expected(self) -> int:
        """The revision that the flag must still be at."""
        if self.after is not None or self.flag is None:
            return self.after or 0
        return self.flag.revision - 1


class FlagStore:
    """The store of flags and runs."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._put = Script(client, "put")

    def live(self) -> Live:
        """Everything at one moment; a flag that cannot be read is left out and named in ``corrupt``."""
        keys = self._keys
        with reachable("live"):
            pipe = self._client.pipeline(transaction=True)
            for key in (keys.flags, keys.runs, keys.experiments, keys.files, keys.deleted):
                pipe.hgetall(key)
            flags, runs, latest, files, deleted = (text_keys(row) for row in pipe.execute())
        parsed, corrupt = parse_flags(flags)
        states, broken = documents_of(runs)
        corrupt |= {f"run {name}": problem for name, problem in broken.items()}
        names, texts = ({name: text.decode() for name, text in row.items()} for row in (latest, files))
        return Live(parsed, states, names, texts, corrupt, parse_flags(deleted)[0])

    def flag(self, route: str) -> Flag | None:
        """The flag of a route."""
        return self._read(self._keys.flags, route)

    def deleted(self, route: str) -> Flag | None:
        """The flag of a route that was deleted, under the revision of its deletion."""
        return self._read(self._keys.deleted, route)

    def _read(self, key: str, route: str) -> Flag | None:
        with reachable("flag"):
            text = cast("bytes | None", self._client.hget(key, route))
        return Flag.parse(text) if text is not None else None

    def file(self, key: str) -> str:
        """A document as last applied; empty when none was."""
        with reachable("file"):
            text = cast("bytes | None", self._client.hget(self._keys.files, key))
        return text.decode() if text is not None else ""

    def moved(self, position: int) -> Moved:
        """The flags that changed after a position, oldest change first; from 0 on it is all of them."""
        with reachable("moved"):
            pipe = self._client.pipeline(transaction=False)
            pipe.hmget(self._keys.meta, "store_id", "changes")
            pipe.zrangebyscore(self._keys.changes, f"({position}", "+inf", 0, PAGE, withscores=True)
            (identity, head), rows = pipe.execute()
            names = [name for name, _ in rows]
            texts: Any = self._client.hmget(self._keys.flags, names) if names else []
            found = {name.decode(): text or b"" for name, text in zip(names, texts, strict=True)}
            lacking = [name for name, text in found.items() if not text]
            tokens: Any = self._client.hmget(self._keys.revisions, lacking) if lacking else []
        gone = {name for name, token in zip(lacking, tokens, strict=True) if (token or b"").endswith(b":")}
        changed, corrupt = parse_flags({name: text for name, text in found.items() if name not in gone})
        where = int(rows[-1][1]) if rows else position
        return Moved(changed, corrupt, frozenset(gone), where, (identity or b"").decode(), int(head or 0))

    def latest(self) -> int:
        """The number of the latest change of a flag."""
        with reachable("latest"):
            return int(cast("bytes | None", self._client.hget(self._keys.meta, "changes")) or 0)

    def revisions(self, route: str) -> dict[int, Flag]:
        """The last revisions of a route, deleted or not, by number; one that cannot be read is left out."""
        latest = self.flag(route) or self.deleted(route)
        if latest is None:
            return {}
        numbers = [n for n in range(latest.revision - REVISIONS_KEPT + 1, latest.revision + 1) if n > 0]
        with reachable("revisions"):
            texts: Any = self._client.hmget(self._keys.kept, [f"{route} {n}" for n in numbers])
        found = {str(n): text for n, text in zip(numbers, texts, strict=True) if text is not None}
        return {int(n): flag for n, flag in parse_flags(found)[0].items()}

    def runs(self) -> dict[str, dict[str, Any]]:
        """All run states by run; one that cannot be read is left out, as ``live`` names it."""
        with reachable("runs"):
            rows = text_keys(self._client.hgetall(self._keys.runs))
        return documents_of(rows)[0]

    def run(self, run: str) -> dict[str, Any] | None:
        """One run state."""
        with reachable("run"):
            text = cast("bytes | None", self._client.hget(self._keys.runs, run))
        if text is None:
            return None
        states, broken = documents_of({run: text})
        if broken:
            raise SpecError([Problem(f"run {run}", "a run state as JSON", broken[run])])
        return states[run]

    def latest_run(self, experiment: str) -> dict[str, Any] | None:
        """The latest run of an experiment."""
        with reachable("latest run"):
            name = cast("bytes | None", self._client.hget(self._keys.experiments, experiment))
        return self.run(name.decode()) if name is not None else None

    def commit(self, change: Change) -> None:
        """Write a change whole, or not at all.

        Raises:
            StaleRevision: flag or a run moved meanwhile; carries both revisions and the difference.
            Fenced: a newer leader has taken over.
            StoreUnavailable: Redis does not answer; the change may or may not have been written.
        """
        flag, run, ended = change.flag, change.run, change.superseded
        answer = self._put(self._tables(), self._arguments(change))
        if answer[0] == b"STALE" and flag is not None:
            raise StaleRevision(
                f"flag {flag.route}", change.expected, int(answer[1]), flag_difference(answer[2], flag)
            )
        if answer[0] == b"AHEAD" and flag is not None:
            lifted = self._lift(flag.route, int(answer[1]), change.audit.get("time"), change.token)
            raise StaleRevision(f"flag {flag.route}", change.expected, lifted, LIFTED)
        if answer[0] == b"MOVED":
            moved = next(
                one for one in (run, ended and ended.run) if one and one["run"] == answer[3].decode()
            )
            raise StaleRevision(
                f"run {moved['run']}", moved["version"] - 1, int(answer[1]), run_difference(answer[2], moved)
            )

    def _tables(self) -> list[str]:
        """The keys of put.lua, in its order."""
        keys = self._keys
        routing = [
            keys.flags,
            keys.revisions,
            keys.runs,
            keys.experiments,
            keys.files,
            keys.audit,
            keys.token,
        ]
        return [*routing, keys.meta, keys.kept, keys.changes, keys.ahead, keys.deleted]

    def _arguments(self, change: Change) -> list[Any]:
        """The arguments of put.lua, in its order."""
        flag, run = change.flag, change.run
        arguments: list[Any] = [
            flag.route if flag else "",
            change.expected,
            flag.encode() if flag else "",
            run["run"] if run else "",
            run["version"] - 1 if run else 0,
            msgspec.json.encode(run) if run else "",
            run["experiment"] if run else "",
            "" if change.token is None else str(change.token),
            msgspec.json.encode(change.audit) if change.audit else "",
            self._keys.notice,
            secrets.token_hex(8),
            REVISIONS_KEPT,
            flag.revision if flag else 0,
            *_arguments_of(change.superseded),
            "1" if change.deletes else "",
        ]
        return [*arguments, *(part for file in change.files.items() for part in file)]

    def lift(self, now: int, token: int | None) -> list[str]:
        """Write anew, above it, what gateways know by a later revision than this store remembers; the routes."""
        with reachable("ahead"):
            rows = text_keys(self._client.hgetall(self._keys.ahead))
        lifted = []
        for route, revision in rows.items():
            with contextlib.suppress(StaleRevision):  # somebody was faster
                if self._lift(route, int(revision), now, token):
                    lifted.append(route)
        return lifted

    def _lift(self, route: str, lost: int, now: int | None, token: int | None) -> int:
        """The stored flag under a revision above a lost one; gateways never go back."""
        flag = self.flag(route)
        if flag is None:
            with reachable("ahead"):
                self._client.hdel(self._keys.ahead, route)
            return 0
        new = flag.with_revision(max(flag.revision, lost) + 1)
        audit = {"time": now, "actor": "store", "action": "lift", "reason": LIFTED, "route": route, "run": None,
                 "revision": new.revision, "old": flag.document(), "new": new.document()}  # fmt: skip
        self.commit(Change(audit, new, token=token, after=flag.revision))
        return new.revision

    def audit(
        self, count: int = 200, *, run: str | None = None, route: str | None = None
    ) -> list[dict[str, Any]]:
        """The latest entries of the audit log, newest first, of one run or route if asked."""
        with reachable("audit"):
            rows: Any = self._client.xrevrange(self._keys.audit, count=5000 if run or route else count)
        entries = [
            {"id": entry_id.decode(), **msgspec.json.decode(fields[b"entry"])} for entry_id, fields in rows
        ]
        wanted = [e for e in entries if run in (None, e.get("run")) and route in (None, e.get("route"))]
        return wanted[:count]

    def heartbeat(self, writer: str, document: Mapping[str, Any]) -> None:
        """Say that a process is alive, and what it runs."""
        with reachable("heartbeat"):
            self._client.hset(self._keys.gateways, writer, msgspec.json.encode(document))

    def heartbeats(self, now: int, max_age_ms: int = 5000) -> list[dict[str, Any]]:
        """Who is alive; those long silent are forgotten."""
        with reachable("heartbeats"):
            rows = text_keys(self._client.hgetall(self._keys.gateways))
            alive, broken = documents_of(rows)
            ages = {writer: now - int(row.get("time", 0)) for writer, row in alive.items()}
            gone = [*broken, *(writer for writer, age in ages.items() if age > 10 * max_age_ms)]
            if gone:
                self._client.hdel(self._keys.gateways, *gone)
        return [row for writer, row in alive.items() if ages[writer] <= max_age_ms]


def _arguments_of(ended: Ended | None) -> tuple[Any, ...]:
    if ended is None:
        return "", 0, "", ""
    run = ended.run
    return run["run"], run["version"] - 1, msgspec.json.encode(run), msgspec.json.encode(ended.audit)
