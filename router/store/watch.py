"""How a gateway follows the flags: subscribe, then read; the notice is a hint, the poll is the truth.

Each change of a flag has a number, and a poll asks for what changed after the last number read: one changed flag costs
one flag, however many there are. After each (re)connection, and now and then, all revisions are compared anew, in slices
between which requests are served. A flag that cannot be read leaves its last good predecessor in place.

Revisions of a worker never go back within one store: where the store has lost later ones, the worker says so and waits
until the flag is written anew above them. A store that was wiped or exchanged is recognised by its identity: the flags
that it has are taken, those that it lacks stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import redis
import redis.asyncio

from router.errors import SpecError, StoreUnavailable
from router.flag import Flag
from router.store.connect import reachable
from router.store.keys import Keys
from router.store.line import Command, Line, numbered

RETRY_S = (0.05, 2.0)
PAGE = 32  # names that are compared at once
SLICE = 4  # flags that are read at once; each is compiled in a turn of the loop of its own
WHOLE_S = 30.0  # so often all revisions are compared, whatever the changes say


class Token(NamedTuple):
    """What tells two contents of a flag apart: its revision, and a digest of its text."""

    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A flag and the text it was read from."""

    flag: Flag
    text: bytes

    @property
    def token(self) -> Token:
        """What the store keeps as this flag's revision and digest."""
        return Token(self.flag.revision, hashlib.sha1(self.text, usedforsecurity=False).hexdigest()[:8])


class Listener(Protocol):
    """Who wants to know."""

    store_id: str

    @property
    def tokens(self) -> Mapping[str, Token]:
        """The revision and digest of each route that routes now."""

    def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
        """These flags are new, these routes are gone."""

    def corrupt(self, route: str, problem: str) -> None:
        """A flag cannot be read; its last good predecessor stays."""

    def behind(self, routes: Mapping[str, int]) -> None:
        """The store has lost revisions of these routes that route here, and what routes here stays."""

    def wiped(self) -> None:
        """The store lacks flags that are held, and was wiped or exchanged; they stay until it has them again."""

    def reached(self, reachable: bool) -> None:
        """Whether Redis answered the last question."""


class _Page(NamedTuple):
    """Whose store it is, its latest change, (route, number) of the next changes, and flags that were asked for."""

    store_id: str
    latest: int
    changes: list[tuple[str, int]]
    texts: dict[str, bytes | None]


class _OtherStore(Exception):
    """The changes that were followed are not this store's."""


class FlagWatch:
    """Keeps a listener at the store's revisions."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        listener: Listener,
        poll_ms: int,
        whole_s: float = WHOLE_S,
    ) -> None:
        self.position = 0  # the number of the latest change that was read
        self._client = client
        self._line = Line(client)
        self._keys = keys
        self._listener = listener
        self._poll_s = poll_ms / 1000
        self._whole_s = whole_s
        self._lacking: set[str] = set()
        self._foreign: set[str] = (
            set()
        )  # routes held of another store: their revisions say nothing about this one's
        self._whole_at = float("-inf")

    async def run(self) -> None:
        """Follow until cancelled; a dead Redis is asked again with growing pauses."""
        pause = RETRY_S[0]
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._keys.notice)
                    self._whole_at = float("-inf")
                    hinted: list[str] = []
                    while True:
                        await self.refresh(hinted)
                        self._listener.reached(True)
                        pause = RETRY_S[0]
                        hinted = await self._hint(pubsub)
            except (redis.RedisError, OSError, StoreUnavailable):
                self._listener.reached(False)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, RETRY_S[1])

    async def _hint(self, pubsub: Any) -> list[str]:
        """Wait for a notice, or for the next poll; the route that the notice names."""
        patience = self._poll_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        with contextlib.suppress(asyncio.TimeoutError):
            deadline = asyncio.get_running_loop().time() + patience
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=left)
                if message is not None:
                    return [message["data"].decode(errors="replace")]
        return []

    async def refresh(self, hinted: Iterable[str] = ()) -> None:
        """Fetch the flags that changed, or compare all of them when it is time to.

        Args:
            hinted: routes that are said to have changed; fetched in the same question, believed only with its answer.

        Raises:
            StoreUnavailable: Redis gave no good answer; nothing has changed, or part of what there is to change.
        """
        if time.monotonic() - self._whole_at < self._whole_s:
            with contextlib.suppress(_OtherStore):
                await self._changes(list(hinted))
                return
        await self._everything()
        self._whole_at = time.monotonic()

    async def _changes(self, hinted: list[str]) -> None:
        while True:
            store_id, latest, page, texts = await self._page(self.position, hinted)
            if store_id != self._listener.store_id or latest < self.position:
                raise _OtherStore
            names = [route for route, _ in page]
            await self._take({route: texts[route] for route in names if route in texts})
            for part in _slices([route for route in names if route not in texts]):
                await self._fetch(part)
            hinted = []
            self._lacking -= {route for route, _ in page}
            self.position = page[-1][1] if page else self.position
            if len(page) < PAGE:
                break
        if self._lacking:
            self._listener.wiped()

    async def _everything(self) -> None:
        """Compare all revisions, fetch what differs, and let go of what is gone."""
        store_id, latest, page, _ = await self._page(0)
        same, kept = store_id == self._listener.store_id, self._foreign
        if not same or latest < self.position:
            # Another store, or one that went back in time: what it lacks was hardly taken away on purpose.
            self._lacking = set(self._listener.tokens)
        if not same:
            self._foreign = set(self._listener.tokens)
        try:
            seen, last = await self._walk(page)
            gone = set(self._listener.tokens) - seen - self._lacking
            if seen and (gone or not same):
                self._listener.moved({}, gone, store_id)
        finally:
            if store_id != self._listener.store_id:
                self._foreign = kept
        self.position = max(latest, last)
        self._lacking -= seen
        if self._lacking or (self._listener.tokens and not seen):
            self._listener.wiped()

    async def _walk(self, page: list[tuple[str, int]]) -> tuple[set[str], int]:
        """Compare all routes from the first page on; their names, and the number of the last change among them."""
        seen: set[str] = set()
        last = 0
        while page:
            await self._compare([route for route, _ in page])
            seen |= {route for route, _ in page}
            last = page[-1][1]
            page = (await self._page(last)).changes if len(page) == PAGE else []
        return seen, last

    async def _page(self, after: int, hinted: Iterable[str] = ()) -> _Page:
        """The next changes after a number, and the texts of flags that may be among them."""
        keys, wanted = self._keys, list(hinted)
        questions: list[Command] = [
            ("HMGET", keys.meta, "store_id", "changes"),
            ("ZRANGEBYSCORE", keys.changes, f"({after}", "+inf", "WITHSCORES", "LIMIT", 0, PAGE),
        ]
        if wanted:  # asked last: a text is never older than the change that names it
            questions.append(("HMGET", keys.flags, *wanted))
        with reachable("changes"):
            (identity, latest), rows, *texts = await self._line.ask(*questions)
        page = [(route.decode(), number) for route, number in numbered(rows)]
        found = dict(zip(wanted, texts[0], strict=True)) if texts else {}
        return _Page((identity or b"").decode(), int(latest or 0), page, found)

    async def _compare(self, routes: list[str]) -> None:
        """Fetch those of these routes whose flag is another one than what is held."""
        with reachable("revisions"):
            (texts,) = await self._line.ask(("HMGET", self._keys.revisions, *routes))
        held = self._listener.tokens
        tokens = {route: _token(text) for route, text in zip(routes, texts, strict=True)}
        other = [
            route
            for route in routes
            if (route in self._foreign or tokens[route] != held.get(route))
            and (route in held or not _deletes(tokens[route]))
        ]
        later = [route for route in other if self._later(route, tokens[route])]
        await self._lost(set(other) - set(later))
        for names in _slices(later):
            await self._fetch(names)

    def _later(self, route: str, token: Token | None) -> bool:
        """Whether what the store holds may take the place of what is held."""
        held = self._listener.tokens.get(route)
        if held is None or token is None or route in self._foreign:
            return True
        return token.revision > held.revision or token == held

    async def _lost(self, routes: set[str]) -> None:
        """Say that the store has lost what routes here."""
        if not routes:
            return
        ahead = {route: self._listener.tokens[route].revision for route in routes}
        self._listener.behind(ahead)
        with reachable("ahead"):
            await self._line.ask(
                ("HSET", self._keys.ahead, *(part for pair in ahead.items() for part in pair))
            )

    async def _fetch(self, routes: list[str]) -> None:
        with reachable("fetch"):
            (texts,) = await self._line.ask(("HMGET", self._keys.flags, *routes))
        await self._take(dict(zip(routes, texts, strict=True)))

    async def _take(self, texts: Mapping[str, bytes | None]) -> None:
        """Flags as the store has them, where they may take the place of what is held."""
        found: dict[str, Stored] = {}
        gone = await self._deleted([route for route, text in texts.items() if text is None])
        for route, text in texts.items():
            if route in gone:
                continue
            try:
                found[route] = Stored(Flag.parse(text or b""), text or b"")
            except SpecError as problem:
                self._listener.corrupt(route, str(problem))
        late = {route for route, one in found.items() if not self._later(route, one.token)}
        await self._lost(late)
        held = self._listener.tokens
        taken = {
            route: one
            for route, one in found.items()
            if route not in late and (route in self._foreign or one.token != held.get(route))
        }
        gone = {route for route in gone if route in held}
        # Each in a turn of the loop of its own: requests are served in between. What goes is last, and what may take its
        # requests is there before.
        for route, one in taken.items():
            self._listener.moved({route: one}, set(), self._listener.store_id)
            self._foreign.discard(route)
            await asyncio.sleep(0)
        if gone:
            self._listener.moved({}, gone, self._listener.store_id)
            self._foreign -= gone

    async def _deleted(self, routes: list[str]) -> set[str]:
        """Those that were taken away on purpose: their deletion is a revision, and later than what is held."""
        if not routes:
            return set()
        with reachable("revisions"):
            texts: Any = await self._client.hmget(self._keys.revisions, routes)
        tokens = {route: _token(text) for route, text in zip(routes, texts, strict=True)}
        return {route for route, token in tokens.items() if _deletes(token) and self._later(route, token)}


def _slices(names: list[str]) -> list[list[str]]:
    return [names[at : at + SLICE] for at in range(0, len(names), SLICE)]


def _deletes(token: Token | None) -> bool:
    """Whether a revision is a deletion: it has no flag, and so no digest."""
    return token is not None and not token.digest


def _token(text: bytes | None) -> Token | None:
    """A stored revision; None where it is none, so that its flag is fetched and judged."""
    revision, _, digest = (text or b"").decode(errors="replace").partition(":")
    return Token(int(revision), digest) if revision.isascii() and revision.isdigit() else None
