"""Raw requests from standards and advisories, each with the reaction it must meet, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import uvloop

from router.gateway.plane import Plane
from router.gateway.ports import Limits
from tests.gateway.recorder import Received, Recorder
from tests.gateway.stub_gate import StubGate

CASES = json.loads((Path(__file__).parent.parent / "cases" / "http.json").read_text())["cases"]
REACT_WITHIN_S = 2.0


def octets(case: dict[str, Any]) -> bytes:
    if "raw" in case:
        return str(case["raw"]).encode("latin-1")
    parts = case["raw_repeat"]
    return f"{parts['prefix']}{parts['unit'] * parts['count']}{parts['suffix']}".encode("latin-1")


class Answers:
    """The answers a client reads, in order."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def parsed(self, methods: list[str]) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        rest = self.data
        while rest.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status = int(head[9:12])
            if status < 200:
                continue
            length = re.search(rb"(?i)content-length: (\d+)", head)
            size = int(length[1]) if length else 0
            if len(found) < len(methods) and methods[len(found)] == "HEAD":
                size = 0
            found.append((status, rest[:size]))
            rest = rest[size:]
        return found


async def play(case: dict[str, Any]) -> tuple[Recorder, Answers, bool]:
    loop = asyncio.get_running_loop()
    recorder = Recorder()
    upstream = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    plane = Plane(StubGate(f"http://127.0.0.1:{port}"), Limits(), loop)
    server = await loop.create_server(plane.protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    answers = Answers()

    async def listen() -> None:
        try:
            while data := await reader.read(65536):
                answers.data += data
        except ConnectionError:
            pass
        answers.closed = True

    listening = asyncio.create_task(listen())
    try:
        await send(case, writer)
        await settle(case, answers, recorder)
        kept = False
        if case["then"] == "keep" and not answers.closed:
            before = answers.data
            writer.write(b"GET /further HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
            await wait_for(lambda: b"ok /further" in answers.data[len(before) :] or answers.closed)
            kept = b"ok /further" in answers.data
            recorder.requests = [r for r in recorder.requests if r.target != "/further"]
            answers.data = before
        return recorder, answers, kept
    finally:
        listening.cancel()
        writer.close()
        server.close()
        upstream.close()
        for client in list(plane.clients):
            client.cut()
        plane.gate.upstream.close()  # type: ignore[attr-defined]  # the stub's


async def send(case: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    data = octets(case)
    try:
        if case.get("send") == "bytewise":
            for i in range(len(data)):
                writer.write(data[i : i + 1])
                await asyncio.sleep(0)
        else:
            writer.write(data)
        await asyncio.wait_for(writer.drain(), REACT_WITHIN_S)
        if case.get("half_close"):
            writer.write_eof()
    except (ConnectionError, TimeoutError, OSError):
        pass


async def wait_for(ready: Any, within: float = REACT_WITHIN_S) -> bool:
    deadline = asyncio.get_running_loop().time() + within
    while not ready():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def expected_answers(case: dict[str, Any]) -> int:
    """How many final answers end the case when it is accepted."""
    count = case["upstream_requests"]
    return int(count if isinstance(count, int) else max(1, count[0]))


async def settle(case: dict[str, Any], answers: Answers, recorder: Recorder) -> None:
    def done() -> bool:
        if answers.closed:
            return True
        found = answers.parsed([r.method for r in recorder.requests])
        refused = bool(found) and found[-1][0] >= 400
        if case["expect"] == "reject":
            return False  # a refusal closes
        return refused or len(found) >= expected_answers(case)

    assert await wait_for(done), f"no reaction within {REACT_WITHIN_S} s: {answers.data[:300]!r}"


def check_upstream(case: dict[str, Any], first: Received) -> None:
    facts = case.get("upstream") or {}
    if "method" in facts:
        assert first.method == facts["method"]
    if "target" in facts:
        assert first.target == facts["target"]
    if "body" in facts:
        assert first.body == facts["body"].encode("latin-1")
    if "length" in facts:
        assert len(first.body) == facts["length"]
    for name, part in facts.get("present", {}).items():
        assert part in first.values(name)
    for name in facts.get("absent", []):
        assert not first.values(name), f"{name} must not arrive"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_raw_request_meets_the_reaction_it_must(case: dict[str, Any]) -> None:
    recorder, answers, kept = uvloop.run(play(case))
    found = answers.parsed([r.method for r in recorder.requests])
    statuses = [status for status, _ in found]
    refused = (bool(statuses) and statuses[-1] >= 400) or not statuses
    assert not recorder.broken
    assert 500 not in statuses
    if case["expect"] == "reject":
        assert refused, f"accepted: {statuses}"
    if case["expect"] == "accept":
        assert all(status < 400 for status in statuses), f"refused: {answers.data[:300]!r}"
    if refused and case.get("status"):
        assert (statuses[-1] if statuses else 0) in case["status"]
    least, most = (
        case["upstream_requests"]
        if isinstance(case["upstream_requests"], list)
        else [case["upstream_requests"]] * 2
    )
    seen = len(recorder.requests)
    assert seen <= most
    assert seen >= least or (refused and case["expect"] == "either")
    if recorder.requests and case["expect"] != "reject":
        check_upstream(case, recorder.requests[0])
    if case.get("answers"):
        assert [body.decode().removeprefix("ok ") for _, body in found] == case["answers"]
    if case["then"] == "close":
        assert answers.closed
    if case["then"] == "keep" and not refused:
        assert kept, "a further request must be served"
