"""/decide: the same decision for a proxy that routes by itself, the same exposure, and control when nobody answers."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import uvloop

from router.event_rows import EXPOSURE
from router.local.processes import free_port
from tests.gateway.flags import experiment
from tests.gateway.gated import answer, gated
from tests.gateway.running import World, eventually, exposures_of

SNIPPET = Path(__file__).parent.parent.parent / "deploy" / "nginx" / "decide.conf"
V1, V2 = (answer(b"v1"),), (answer(b"v2"),)


def ask(target: bytes, *fields: bytes, method: bytes = b"GET", path: bytes = b"/decide") -> bytes:
    named = (b"X-Original-URI: " + target, b"X-Original-Method: " + method) if path == b"/decide" else ()
    lines = b"".join(line + b"\r\n" for line in (*named, *fields))
    return b"GET %b HTTP/1.1\r\nHost: m\r\n%b\r\n" % (path, lines)


@pytest.mark.parametrize(
    "request_", [ask(b"/v2/x?a=1", b"X-Person: ann"), ask(b"", b"X-Person: ann", path=b"/decide/v2/x?a=1")]
)
def test_a_proxy_gets_the_arm_that_the_request_would_get_and_an_exposure_is_recorded(request_: bytes) -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}) as world:
            got = await world.ask(request_)
            assert got.status == 200
            assert got.fields[b"pointsman-arm"] == b"v2"
            assert got.fields[b"pointsman-reason"] == b"enrolled"
            assert got.fields[b"pointsman-decision"]
            assert json.loads(got.body) == {
                "arm": "v2", "reason": "enrolled", "route": "web", "revision": 1, "analysed": True,
            }  # fmt: skip
            assert (await world.written())[0] == [EXPOSURE]
            assert world.requests == []

    uvloop.run(play())


@pytest.mark.parametrize(
    ("request_", "arm", "reason"),
    [
        (ask(b"/v2/x"), b"v1", b"no_unit"),
        (ask(b"/elsewhere", b"X-Person: ann"), None, b"no_route"),
    ],
)
def test_what_is_not_enrolled_is_controls_and_no_request_is_refused(
    request_: bytes, arm: bytes | None, reason: bytes
) -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}) as world:
            got = await world.ask(request_)
            assert (got.status, got.fields.get(b"pointsman-arm"), got.fields[b"pointsman-reason"]) == (
                200,
                arm,
                reason,
            )
            assert (await world.written())[0] == []

    uvloop.run(play())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /decide HTTP/1.1\r\nHost: m\r\n\r\n", 400),
        (ask(b"/a/../b"), 200),
        (ask(b"http://"), 200),
    ],
)
def test_a_question_never_reaches_a_model_server_not_even_where_a_route_takes_all_paths(
    request_: bytes, status: int
) -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, path="/") as world:
            got = await world.ask(request_)
            assert (got.status, got.fields.get(b"pointsman-arm")) == (status, None)
            assert world.requests == []

    uvloop.run(play())


def test_a_unit_in_the_body_is_found_when_the_proxy_sends_the_body() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, places=(("json", "/user"),)) as world:
            body = b'{"user":"ann"}'
            request = b"POST /decide/v2/x HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body),
                body,
            )
            got = await world.ask(request)
            assert (got.fields[b"pointsman-arm"], got.fields[b"pointsman-reason"]) == (b"v2", b"enrolled")

    uvloop.run(play())


def test_a_route_of_ones_own_below_the_path_is_served_as_ever() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, path="/decided") as world:
            got = await world.ask(b"GET /decided/x HTTP/1.1\r\nHost: m\r\nX-Person: ann\r\n\r\n")
            assert got.body == b"v2"

    uvloop.run(play())


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is not installed")
def test_the_real_nginx_routes_by_the_snippet_and_serves_control_without_us(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        places = (("header", "x-person"), ("cookie", "pm_unit"))
        minting = {"places": places, "on_missing": "mint-cookie", "secure": "forwarded"}
        world.put(world.flag(experiments=(experiment(),), **minting))
        world.start()
        port = free_port()
        text = SNIPPET.read_text()
        ports = {"9001": world.models[0].url, "9002": world.models[1].url}
        for old, url in ports.items():
            text = text.replace(f"127.0.0.1:{old}", url.removeprefix("http://"))
        text = text.replace("127.0.0.1:8320", f"127.0.0.1:{world.port}").replace(
            "127.0.0.1:8080", f"127.0.0.1:{port}"
        )
        temporary = "".join(
            f"{name}_temp_path {tmp_path}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
            f"http {{ access_log off; {temporary}\n{text}\n}}"
        )
        nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            routes_as_the_gateway(world, port)
            keeps_whom_it_does_not_know(port)
            world.group.stop()
            assert {arm_of(port, f"u{n}")[0] for n in range(20)} == {"v1"}
        finally:
            nginx.terminate()
            nginx.wait()


def keeps_whom_it_does_not_know(port: int) -> None:
    """A client without a unit gets a cookie through the proxy, as the proxy says that it asked, and is known by it."""
    url = f"http://127.0.0.1:{port}/v2/x"
    request = urllib.request.Request(url, headers={"X-Forwarded-Proto": "https"})  # the proxy knows better
    with urllib.request.urlopen(request, timeout=5) as got:
        (cookie,) = got.headers.get_all("Set-Cookie")
    assert cookie.startswith("pm_unit=")
    assert "Secure" not in cookie
    request = urllib.request.Request(url, headers={"Cookie": cookie.split(";")[0]})
    with urllib.request.urlopen(request, timeout=5) as got:
        assert got.headers.get_all("Set-Cookie") is None
        assert got.headers["Pointsman-Decision"]


def arm_of(port: int, unit: str, **fields: str) -> tuple[str, str | None]:
    """Who answered through the proxy, and the decision id."""
    headers = {"X-Person": unit, **fields}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/x", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as got:
        return str(json.loads(got.read())["arm"]), got.headers["Pointsman-Decision"]


def routes_as_the_gateway(world: World, port: int) -> None:
    def up() -> bool:
        try:
            return bool(arm_of(port, "first")[0])
        except urllib.error.URLError as problem:
            raise OSError("the proxy is not up") from problem

    eventually(up)
    arms = set()
    for number in range(30):
        unit = f"u{number}"
        forged = {"Pointsman-Arm": "v2", "Pointsman-Decision": "x", "Pointsman-Force": "web=v2"}
        arm, decision = arm_of(port, unit, **forged)
        assert decision
        seen = world.models[int(arm == "v2")].asked
        assert [name for name in seen if name.startswith(b"pointsman")] == []
        assert world.get("/v2/x", **{"X-Person": unit})[1]["Pointsman-Arm"] == arm
        arms.add(arm)
    assert arms == {"v1", "v2"}
    eventually(lambda: exposures_of(world.entries()) >= 60)


def test_many_questions_on_one_connection() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}) as world:
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(ask(b"/v2/x", b"X-Person: ann") * 50)
            for _ in range(50):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Pointsman-Arm: v2\r\n" in head
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            writer.close()

    uvloop.run(play())
