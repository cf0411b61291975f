"""The real gateway in front of a model server of ours, with real Redis and real load; everything may be killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import redis

from router.event_rows import EXPOSURE, FACTS_SHIFT
from router.events import Entry, decode
from router.flag import Arm, Flag
from router.local.processes import ProcessGroup, free_port
from router.local.redis_server import RedisServer, find_redis
from router.settings import Settings
from router.store.connect import connect
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from tests.gateway.flags import flag

Found = TypeVar("Found")
WITHIN_S = 30.0


def eventually(ask: Callable[[], Found], within_s: float = WITHIN_S) -> Found:
    """The first true answer; the last one's error, or a failure, when none comes in time."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            found = ask()
            if found:
                return found
        except (AssertionError, OSError, redis.RedisError) as problem:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s") from problem
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, job: Coroutine[Any, Any, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(30)

    def stop(self) -> None:
        async def end() -> None:
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            for server in self.servers:
                server.close()
            await asyncio.gather(*rest, return_exceptions=True)

        self.run(end())
        self.run(asyncio.sleep(0))  # transports close in the next turn
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class ModelServer:
    """Answers every request with its own name and the path it was asked for, and says its versions where it has any."""

    def __init__(self, loop: Loop, name: str, delay_s: float = 0.0) -> None:
        self.name = name
        self.delay_s = delay_s
        self.version = ""
        self.versions: list[str] | None = []  # what the model's own path says; None breaks it
        self.asked: dict[bytes, bytes] = {}  # the fields of the latest request but probes
        self._server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        loop.servers.append(self._server)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await read_message(reader):
                line, headers, _ = request
                probe = b"/v2/health/ready" in line or line.startswith(b"GET /v2/models/m ")
                self.asked = self.asked if probe else headers
                if not probe and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                told = {"arm": self.name, "line": line.decode()}
                body = json.dumps(told if not probe else {"name": "m", "versions": self.versions}).encode()
                said = f"X-Model-Version: {self.version}\r\n".encode() if self.version else b""
                status = b"200 OK" if self.versions is not None or not probe else b"400 No"
                shape = b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b"
                writer.write(shape % (status, said, len(body), body))
                if b"close" in headers.get(b"connection", b""):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes] | None:
    """First line, fields and body of a message with a length; None at a clean end."""
    line = await reader.readline()
    if not line:
        return None
    headers: dict[bytes, bytes] = {}
    while (row := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = row.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return line, headers, await reader.readexactly(int(headers.get(b"content-length", b"0")))


@dataclass
class Load:
    """Clients that ask one request after the other, on connections that they ``keep`` or on a new one for each."""

    loop: Loop
    port: int
    clients: int = 8
    pause_s: float = 0.001
    keep: bool = True
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    arms: dict[str, int] = field(default_factory=dict)
    identified: int = 0
    ending: bool = False
    _tasks: list[Any] = field(default_factory=list)

    def start(self) -> Load:
        self._tasks = [
            asyncio.run_coroutine_threadsafe(self._client(number), self.loop.loop)
            for number in range(self.clients)
        ]
        return self

    def stop(self) -> None:
        """Let every client finish the request it is in."""
        self.ending = True
        for task in self._tasks:
            task.result(30)

    def more(self, requests: int) -> None:
        """Wait for so many further answers."""
        wanted = self.answered + requests
        eventually(lambda: self.answered >= wanted)

    async def _client(self, number: int) -> None:
        sent = 0
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.ending:
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as problem:
                if not self.ending:
                    self.failed.append(f"connect: {problem}")
                    await asyncio.sleep(0.05)
                continue
            sent += 1
            if not (await self._ask(streams, f"{number}-{sent}") and self.keep):
                streams[1].close()
                streams = None
            await asyncio.sleep(self.pause_s)
        if streams is not None:
            streams[1].close()

    async def _ask(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], unit: str) -> bool:
        """One request; whether the connection stays open."""
        reader, writer = streams
        request = f"POST /v2/infer HTTP/1.1\r\nHost: m\r\nX-Person: {unit}\r\nContent-Length: 2\r\n\r\n{{}}"
        try:
            writer.write(request.encode())
            answer = await asyncio.wait_for(read_message(reader), 10)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
            self.failed.append(f"{type(problem).__name__}: {problem}")
            return False
        if answer is None or b" 200 " not in answer[0]:
            self.failed.append("closed" if answer is None else f"{answer[0]!r} {answer[2]!r}")
            return False
        self.answered += 1
        self.identified += b"pointsman-decision" in answer[1]
        arm = str(json.loads(answer[2])["arm"])
        self.arms[arm] = self.arms.get(arm, 0) + 1
        return b"close" not in answer[1].get(b"connection", b"")


class World:
    """Redis, two model servers and a gateway, in one folder."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.loop = Loop()
        self.redis = RedisServer(
            find_redis({"PATH": os.environ["PATH"]}).binary, folder / "redis", persistent=True
        )
        self.folder = folder
        self.models = [ModelServer(self.loop, name) for name in ("v1", "v2")]
        port = free_port()  # after the model servers, which take free ports too
        overrides = {
            "redis_url": self.redis.url,
            "data_dir": str(folder / "data"),
            "flush_ms": 30,
            **settings,
        }
        self.settings = Settings.load({}, None, {"gateway_bind": f"127.0.0.1:{port}", **overrides})
        self.port = port
        self.keys = Keys(self.settings.prefix)
        self.client = connect(self.redis.url)
        self.store = FlagStore(self.client, self.keys)
        self.arms = tuple(Arm(model.name, model.url) for model in self.models)
        self.group = ProcessGroup(folder / "logs")
        self.loads: list[Load] = []
        self.command = [sys.executable, "-m", "router", "gateway"]

    def flag(self, **fields: Any) -> Flag:
        """A flag whose arms are the model servers."""
        return flag(**{"arms": self.arms, "path": "/", **fields})

    def put(self, made: Flag) -> None:
        """Write a flag as people and the controller do."""
        audit = {"actor": "test", "action": "change", "reason": "", "old": {}, "new": {}}
        self.store.commit(Change(audit=audit, flag=made))

    def start(self, *, ready: bool = True) -> None:
        """Start the gateway."""
        self.group.start("gateway", self.command, self.settings.as_environ())
        eventually(lambda: self.get("/readyz")[0] in ((200,) if ready else (200, 503)))
        eventually(lambda: len(self.workers()) == self.settings.gateway_workers)
        if ready and self.redis.pid:
            # Every worker has read the flags: what one of them says is then true of all.
            flags = self.client.hlen(self.keys.flags)
            eventually(lambda: self._routes_held() == [flags] * self.settings.gateway_workers)

    def _routes_held(self) -> list[int]:
        """How many routes each worker says it holds."""
        beats: Any = self.client.hvals(self.keys.gateways)
        alive = self.workers()
        return [beat["routes"] for beat in map(json.loads, beats) if beat["pid"] in alive]

    @property
    def master(self) -> int:
        return self.group.children["gateway"].pid

    def workers(self) -> list[int]:
        """The pids of the workers."""
        text = Path(f"/proc/{self.master}/task/{self.master}/children").read_text()
        return [int(pid) for pid in text.split()]

    def log(self) -> str:
        return self.group.log("gateway").read_text()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, dict(problem.headers), problem.read()

    def metrics(self) -> dict[str, float]:
        """All samples by their text."""
        lines = self.get("/metrics")[2].decode().splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if not line.startswith("#")
        }

    def counted(self, name: str) -> int:
        """The sum of a metric over its labels."""
        return int(sum(value for key, value in self.metrics().items() if key.split("{")[0] == name))

    def load(self, **how: Any) -> Load:
        made = Load(self.loop, self.port, **how).start()
        self.loads.append(made)
        return made

    def entries(self, run: str = "e.1") -> list[Entry]:
        """The event log as the fold reads it: each (writer, number) once."""
        seen: dict[tuple[str, int], Entry] = {}
        rows: Any = self.client.xrange(self.keys.run(run).events)
        for _, fields in rows:
            entry = decode(fields)
            seen.setdefault((entry.writer, entry.seq), entry)
        return list(seen.values())

    def __enter__(self) -> World:
        self.redis.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for load in self.loads:
            load.ending = True
        self.group.stop()
        self.loop.stop()
        self.client.close()
        self.redis.stop()


def rows_of(entries: list[Entry]) -> int:
    """Request rows in these entries."""
    return sum(len(entry.requests) for entry in entries)


def exposures_of(entries: list[Entry]) -> int:
    """Exposures in these entries."""
    return sum(bool(where >> FACTS_SHIFT & EXPOSURE) for entry in entries for where in entry.requests.where)


def dropped_of(entries: list[Entry]) -> int:
    """Rows that these entries report as lost."""
    return sum(sum(entry.dropped) for entry in entries)


def gaps_of(entries: list[Entry]) -> list[str]:
    """Writers whose numbers are not contiguous."""
    numbers: dict[str, list[int]] = {}
    for entry in entries:
        numbers.setdefault(entry.writer, []).append(entry.seq)
    return [writer for writer, seqs in numbers.items() if sorted(seqs) != list(range(1, len(seqs) + 1))]
