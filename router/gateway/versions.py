"""Which version of its model a server says that it has: asked beside the requests, where its answers do not say it.

What is said counts as if an answer had said it, at the time of the question. No answer, an error and an answer without
versions are not known, and never another version. A server that has several versions and is asked without one does not
say which of them answers: all of them together are what it is called.

Never here: a question on the way of a request, more than ``PARALLEL`` at a time, or an answer that is read without bound.

Source:
    Open Inference Protocol, "Model Metadata": ``GET /v2/models/NAME`` and ``/v2/models/NAME/versions/VERSION``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools
import msgspec

from router.address import Address
from router.gateway.counters import Row
from router.gateway.pointer import parts_of, value_at
from router.gateway.probes import WITHIN_S, address_of, asked, servers_of
from router.gateway.recorder import Recorder
from router.gateway.snapshot import CompiledRoute
from router.protocols import ROWS as PROTOCOLS
from router.protocols import model_path

PARALLEL = 8
LEAST_S = 0.05
LONGEST = 65_536  # octets of an answer
NAME_MOST = 200  # characters; as of what answers call themselves
PIECE = 16_384
SAID, SILENT, FAILED = "said", "silent", "failed"
UNREADABLE = (
    OSError,  # and TimeoutError, which is one
    ValueError,
    RecursionError,
    msgspec.DecodeError,
    httptools.HttpParserError,
    httptools.HttpParserUpgrade,
)
User = tuple[str, str]  # route and arm


class Question(NamedTuple):
    """What one server is asked: its address, the model's path, the request's fields, where the versions stand."""

    server: str
    path: str
    fields: bytes
    pointer: str


def questions_of(route: CompiledRoute) -> Iterator[tuple[Question, User]]:
    """What is asked for a route on which something runs, each for one (route, arm)."""
    flag = route.flag
    pointer = PROTOCOLS[flag.protocol].versions
    if flag.serving is None or flag.serving.ask_versions is not True or not pointer:
        return
    for name in dict.fromkeys(lane.arm for one in flag.experiments for lane in one.lanes):
        path = model_path((route.arms[name].base or route.prefix).decode())
        for url in servers_of(flag.arm(name)) if path else ():
            server = address_of(url)
            yield Question(server, path, _fields(route, name, server), pointer), (flag.route, name)


def _fields(route: CompiledRoute, arm: str, server: str) -> bytes:
    """As of a request that this route would take and this arm would serve."""
    edit, match = route.arms[arm].edit, route.flag.match
    host = (match.host if match is not None else None) or Address.parse(server).authority
    drops, lines = (edit.drops, edit.lines) if edit is not None else (frozenset[bytes](), b"")
    fields = [field for field in ((b"accept", b"application/json"), *route.headers) if field[0] not in drops]
    return b"".join(b"%b: %b\r\n" % field for field in ((b"host", host.encode()), *fields)) + lines


async def answered(question: Question) -> tuple[str, str]:
    """What came of a question: said, silent or failed, and the version where it was said."""
    try:
        async with asyncio.timeout(WITHIN_S):
            status, body = await _read(question)
        if status != 200:
            return FAILED, ""
        versions = value_at(msgspec.json.decode(body), parts_of(question.pointer))
    except UNREADABLE:
        return FAILED, ""
    name = name_of(versions, question.path)
    return (SAID, name) if name else (SILENT, "")


async def _read(question: Question) -> tuple[int, bytes]:
    """Status and body of the answer.

    Raises:
        ValueError: it is too long; or another of UNREADABLE.
    """
    answer, octets = Answer(), 0
    async with asked(question.server, question.path.encode(), question.fields) as reader:
        while not answer.whole and (data := await reader.read(PIECE)):
            octets += len(data)
            if octets > LONGEST:
                raise ValueError(f"more than {LONGEST} octets")
            answer.parser.feed_data(data)
    return answer.status, answer.body


class Answer:
    """An answer as the parser finds it; what ends with the connection is never whole, and readable all the same."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.body = b""
        self.whole = False

    def on_headers_complete(self) -> None:
        """The head is there."""
        self.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Octets of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """The end, but for a 1xx."""
        self.whole = self.status >= 200


def name_of(versions: Any, path: str) -> str:
    """What a model is called that has these versions; empty where they say nothing.

    Args:
        versions: as they stand in the answer.
        path: where it was asked for; a version in it that the model has is the one.
    """
    readable = isinstance(versions, list) and all(
        isinstance(one, str | int) and not isinstance(one, bool) for one in versions
    )
    names = {str(one) for one in versions if one != ""} if readable else set()
    wanted = unquote(path.rpartition("/versions/")[2]) if "/versions/" in path else ""
    several = sorted(names, key=lambda one: (len(one), one))
    return (wanted if wanted in names else ", ".join(several))[:NAME_MOST]


class Versions:
    """The questions of one worker: each server of an arm on which something runs, again and again."""

    def __init__(self, recorder: Recorder, row: Row, clock: Callable[[], int], every_s: float) -> None:
        self._recorder = recorder
        self._row = row
        self._clock = clock
        self._every_s = max(LEAST_S, every_s)
        self._users: dict[Question, dict[User, CompiledRoute]] = {}
        self._tasks: dict[Question, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(PARALLEL)

    def changed(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> None:
        """These routes are in use from now on and those no longer."""
        left = [one for route in old for one in questions_of(route)]
        for question, user in left:
            self._users.get(question, {}).pop(user, None)
        for route in new:
            for question, user in questions_of(route):
                self._users.setdefault(question, {})[user] = route
                if question not in self._tasks:
                    job = self._follow(question)
                    self._tasks[question] = asyncio.get_running_loop().create_task(job)
        for question, _ in left:
            if question in self._tasks and not self._users[question]:
                del self._users[question]
                self._tasks.pop(question).cancel()

    async def _follow(self, question: Question) -> None:
        while True:
            async with self._turns:
                now = self._clock()
                result, version = await answered(question)
            for (name, arm), route in self._users[question].items():
                self._row.tally("pointsman_version_questions", route=name, arm=arm, result=result).n += 1
                for one in route.flag.experiments if version else ():
                    # As with answers: only while units are given to the arm does it matter what it is.
                    if one.coverage and one.arm_index(arm) >= 0:
                        self._recorder.buffer(one.run, one.epoch).named(arm, version, now)
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._users.clear()
