"""TLS to model servers, verified unless somebody vouches for them, and TLS to clients by two settings."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path

import pytest
import uvloop

from tests.gateway.certificates import certificate, server_context
from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually
from tests.gateway.scripted import OK, answering, serving


async def asked(context: ssl.SSLContext) -> tuple[int, list[tuple[int, str]]]:
    async with serving(answering(OK), tls=context) as world:
        return (await world.ask()).status, await world.ended()


def test_a_model_server_nobody_vouches_for_gets_no_request(tmp_path: Path) -> None:
    context = server_context(*certificate(tmp_path))
    assert uvloop.run(asked(context)) == (502, [(502, "connect_failed")])


def test_a_model_server_with_a_known_authority_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert uvloop.run(asked(server_context(cert, key))) == (200, [(200, "ok")])


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path, "elsewhere.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert uvloop.run(asked(server_context(cert, key)))[0] == 502


def test_the_gateway_speaks_tls_to_clients(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with World(tmp_path, gateway_certfile=str(cert), gateway_keyfile=str(key)) as world:
        places, lanes = (("cookie", "pm_unit"),), experiment(treatment=1)
        world.put(world.flag(places=places, on_missing="mint-cookie", experiments=(lanes,)))
        world.group.start("gateway", world.command, world.settings.as_environ())
        trusting = ssl.create_default_context(cafile=str(cert))

        def arm() -> tuple[str, list[str]]:
            url = f"https://localhost:{world.port}/v2/x"
            with urllib.request.urlopen(url, context=trusting, timeout=5) as answer:
                cookies = answer.headers.get_all("Set-Cookie")
                return str(json.loads(answer.read())["arm"]), cookies

        found, (cookie,) = eventually(arm)
        assert found == "v1"
        assert cookie.split("; ")[1:] == ["Path=/", "Max-Age=31536000", "HttpOnly", "SameSite=Lax", "Secure"]
        assert world.settings.gateway_address().startswith("https://")
