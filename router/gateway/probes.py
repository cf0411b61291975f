"""Whether arms are ready: asked in the background, told with the heartbeat, so that no run begins on a cold arm.

An upstream is ready when it takes a connection and, if it knows the Open Inference Protocol's ``/v2/health/ready``,
says yes there. Routing never depends on it: an arm that is down must count as down.

Source: Open Inference Protocol, "Server Ready".
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from functools import cache, lru_cache

from router.address import REMEMBERED, Address
from router.flag import Arm

PATH = "/v2/health/ready"
WITHIN_S = 1.0
EVERY_S = 5.0  # for those that are ready
AGAIN_S = 0.5  # for those that are not
DOES_NOT_KNOW = 501


@lru_cache(REMEMBERED)
def address_of(url: str) -> str:
    """The server: arms on one server are asked about once."""
    return Address.parse(url).server


async def is_ready(url: str) -> bool:
    """Whether the server at an address is ready now."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await _ask(url)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        return False


async def _ask(url: str) -> bool:
    fields = f"Host: {Address.parse(url).authority}\r\n".encode()
    async with asked(url, PATH.encode(), fields) as reader:
        line = await reader.readline()
    words = line.split(None, 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    # Whoever does not know the path is ready by having taken the connection.
    return status < 500 or status == DOES_NOT_KNOW


@contextlib.asynccontextmanager
async def asked(url: str, target: bytes, fields: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A server's answer to a GET on a connection of its own.

    Args:
        url: of the server.
        target: of the request.
        fields: of it, Host among them, each with its line end.

    Raises:
        OSError: nobody answers there.
    """
    address = Address.parse(url)
    if address.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address.host)
    else:
        context = tls() if address.scheme == "https" else None
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        writer.write(b"GET %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (target, fields))
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                await writer.wait_closed()


@cache
def tls() -> ssl.SSLContext:
    """Made once: reading all authorities takes longer than a loop may stand still."""
    return ssl.create_default_context()


def servers_of(arm: Arm) -> tuple[str, ...]:
    """The addresses of an arm's servers."""
    return arm.pool.endpoints if arm.pool is not None and arm.pool.endpoints else (arm.upstream,)


class Probes:
    """Keeps the readiness of all arms' servers."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.ready: dict[str, bool] = {}
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, address: str) -> None:
        """An arm's server is in use from now on."""
        if address not in self._tasks:
            self._tasks[address] = asyncio.get_running_loop().create_task(self._follow(address))

    def forget(self, address: str) -> None:
        """No arm is on that server any more."""
        if task := self._tasks.pop(address, None):
            task.cancel()
        self.ready.pop(address, None)

    def of_arm(self, arm: Arm) -> bool:
        """Whether every server of an arm was ready when last asked."""
        return all(self.of(url) for url in servers_of(arm))

    def of(self, url: str) -> bool:
        """Whether an arm's server was ready when last asked; one that was never asked is not."""
        return self.ready.get(address_of(url), False)

    async def _follow(self, address: str) -> None:
        while True:
            ready = await is_ready(address)
            if self.ready.get(address) != ready:
                self.ready[address] = ready
                self._changed()
            await asyncio.sleep(EVERY_S if ready else AGAIN_S)

    def stop(self) -> None:
        """Ask no more."""
        for address in list(self._tasks):
            self.forget(address)
