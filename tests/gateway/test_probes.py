"""Readiness of arms: by connection, and by the protocol's own path where it is known."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from router.gateway.probes import AGAIN_S, PATH, Probes, address_of, is_ready


class Server:
    """Answers each connection with the same octets, or with none."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.url = ""
        self.served = asyncio.Event()

    async def start(self, port: int = 0) -> asyncio.Server:
        server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        if self.answer is None:
            await reader.read()  # until the asker gives up
        else:
            writer.write(self.answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.served.set()


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", True),
        (b"HTTP/1.0 501 Unsupported\r\n\r\n", True),
        (b"HTTP/1.1 503 Loading\r\n\r\n", False),
        (b"HTTP/1.1 500 Oops\r\n\r\n", False),
        (b"hello\r\n", True),
        (b"", True),
        (None, False),
    ],
)
def test_an_arm_is_ready_unless_it_says_otherwise_or_says_nothing(answer: bytes | None, ready: bool) -> None:
    async def ask() -> bool:
        server = Server(answer)
        async with await server.start():
            found = await is_ready(server.url)
            assert server.asked == [f"GET {PATH} HTTP/1.1".encode()]
            await server.served.wait()
            return found

    assert asyncio.run(ask()) is ready


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-name.invalid", "https://127.0.0.1:1"])
def test_an_arm_that_takes_no_connection_is_not_ready(url: str) -> None:
    assert asyncio.run(is_ready(url)) is False


def test_readiness_is_followed_and_told_when_it_changes() -> None:
    async def follow() -> None:
        told = asyncio.Event()
        probes = Probes(told.set)
        server = Server(b"HTTP/1.1 503 Loading\r\n\r\n")
        async with await server.start():
            probes.watch(address_of(server.url + "/one"))
            probes.watch(address_of(server.url + "/two"))
            assert not probes.of(server.url)
            await asyncio.wait_for(told.wait(), 5)
            assert not probes.of(server.url + "/one")
            told.clear()
            server.answer = b"HTTP/1.1 200 OK\r\n\r\n"
            await asyncio.wait_for(told.wait(), 10 * AGAIN_S)
            assert probes.of(server.url + "/one")
            assert probes.of(server.url + "/two")
            assert len(probes.ready) == 1
            probes.forget(server.url)
            assert not probes.of(server.url)
        probes.stop()

    asyncio.run(follow())


def test_arms_on_one_server_have_one_address() -> None:
    assert address_of("http://h:9001/v2") == address_of("http://h:9001") == "http://h:9001"
