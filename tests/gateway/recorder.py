"""A strict model server for tests: reads each request by the grammar, writes it down, answers ``ok <target>``."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from router.gateway.fields import NEVER_TRAILING

FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")
LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.1")


@dataclass
class Received:
    """One complete request."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> str:
        return ", ".join(value for key, value in self.fields if key == name)


@dataclass
class Recorder:
    """What arrived, and what broke the grammar."""

    requests: list[Received] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await self.read(reader)) is not None:
                self.requests.append(request)
                if request.target.startswith("/slow"):
                    await asyncio.sleep(0.2)
                body = f"ok {request.target}".encode()
                sent = b"" if request.method == "HEAD" else body
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + sent)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except AssertionError as problem:
            self.broken.append(str(problem))
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            assert b"\n" not in cut.partial.replace(b"\r\n", b""), f"bare LF in {cut.partial!r}"
            return None
        lines = head[:-4].split(b"\r\n")
        assert b"\0" not in head, "NUL"
        for line in lines:
            assert b"\r" not in line, f"bare CR or LF in {line!r}"
            assert b"\n" not in line, f"bare CR or LF in {line!r}"
        first = LINE.fullmatch(lines[0])
        assert first, f"request line {lines[0]!r}"
        fields = []
        for line in lines[1:]:
            match = FIELD.fullmatch(line)
            assert match, f"field {line!r}"
            fields.append((match[1].decode().lower(), match[2].decode("latin-1")))
        names = [name for name, _ in fields]
        assert names.count("host") == 1, f"{names.count('host')} Host fields"
        assert names.count("content-length") + names.count("transfer-encoding") <= 1, "two framings"
        request = Received(first[1].decode(), first[2].decode(), fields, b"")
        assert not request.target.startswith("/smuggled"), "smuggled"
        if "transfer-encoding" in names:
            assert request.values("transfer-encoding") == "chunked"
            request.body = await self.chunked(reader)
        elif "content-length" in names:
            request.body = await reader.readexactly(int(request.values("content-length")))
        return request

    async def chunked(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            assert re.fullmatch(rb"[0-9a-fA-F]+\r\n", line), f"chunk size {line!r}"
            size = int(line, 16)
            if not size:
                break
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n", "chunk end"
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            trailer = FIELD.fullmatch(line[:-2])
            assert trailer, f"trailer {line!r}"
            assert trailer[1].lower() not in NEVER_TRAILING, f"trailer {line!r}"
        return body
