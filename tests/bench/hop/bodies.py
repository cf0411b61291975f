"""Large bodies both ways, and readers that take an answer slowly."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

from tests.bench.hop.loads import HOST, OK, Kept, Load
from tests.bench.hop.own_model import PIECE
from tests.bench.hop.targets import Target

MEGABYTE = 1 << 20
BODY = b"b" * MEGABYTE
HEAD = b"POST /own/large HTTP/1.1\r\nHost: model\r\nX-Person: p%d\r\nContent-Length: %d\r\n\r\n"
SLOW_READERS = 16
SLOW_OCTETS, SLOW_PAUSE_S, SLOW_FOR_S = 1024, 0.1, 5.0  # 10 KB/s
SLOW_ANSWER = 64 * MEGABYTE  # more than the kernel's buffers of both connections take


class Large(Kept):
    """Sends a megabyte and takes one back."""

    left = 0

    def ask(self) -> None:
        self.person += 1
        self.left = 0
        self.transport.write(HEAD % (self.person, MEGABYTE) + BODY)

    def data_received(self, data: bytes) -> None:
        if not self.left:
            self.answer += data
            head, end, rest = self.answer.partition(b"\r\n\r\n")
            if not end:
                return
            self.load.wrong += not head.startswith(OK)
            self.answer = b""
            self.left, data = MEGABYTE, rest
        self.left -= len(data)
        if not self.left:
            self.load.answered += 1
            self.again()


def large(connections: int) -> Load:
    """Megabytes both ways on kept connections."""
    return Load(connections, partial(Large, b"/own/large"))


async def slow_read(port: int) -> int:
    """Ask for much and read 10 KB/s of it; how many octets came."""
    loop = asyncio.get_running_loop()
    taken = 0
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, len(PIECE))
        await loop.sock_connect(client, (HOST, port))
        head = b"GET /own/octets/%d HTTP/1.1\r\nHost: model\r\nX-Person: slow\r\n\r\n" % SLOW_ANSWER
        await loop.sock_sendall(client, head)
        ending = loop.time() + SLOW_FOR_S
        while loop.time() < ending:
            taken += len(await loop.sock_recv(client, SLOW_OCTETS))
            await asyncio.sleep(SLOW_PAUSE_S)
    return taken


async def growth_with_slow_readers(target: Target) -> tuple[float, int]:
    """MB by which a target grows while some readers read slowly, and how many of them were served."""
    before = target.resident_kb()
    taken: list[Any] = await asyncio.gather(*(slow_read(target.port) for _ in range(SLOW_READERS)))
    return (target.peak_kb() - before) / 1024, sum(octets > SLOW_OCTETS for octets in taken)
