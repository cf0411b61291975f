"""``doctor``: which Redis and why, who answers, and what is BAD."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from router.cli.exits import NO, TROUBLE, YES
from router.local.redis_server import RedisServer
from tests.cli.conftest import Ask


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers every request with one status."""
    status: int = request.param

    class Always(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"error": {"message": f"always {status}"}} if status != 200 else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Always) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answering", "code"), [(200, YES), (503, NO), (500, NO), (401, NO)], indirect=["answering"]
)
def test_an_api_that_answers_must_answer_well(ask: Ask, answering: str, code: int) -> None:
    said = ask("doctor", "--api", answering)
    assert (said.code, "BAD  api: always" in said.out) == (code, code == NO), said


@pytest.mark.parametrize("name", ["REDIS_URL", "POINTSMAN_REDIS_URL"])
def test_a_given_redis_is_asked_wherever_its_address_stands(
    ask: Ask, redis_server: RedisServer, name: str
) -> None:
    said = ask("doctor", environ={name: redis_server.url})
    assert said.code == YES
    assert f"REDIS_URL: REDIS_URL names {redis_server.url} (version " in said.out
    said = ask("doctor", "--json", environ={name: "redis://u:s3cr3t@127.0.0.1:1"})
    assert said.code == TROUBLE
    (check,) = [check for check in json.loads(said.out)["checks"] if check["name"] == "redis"]
    assert check["ok"] is False
    assert "redis://u:***@127.0.0.1:1 does not answer" in check["found"]
    assert "s3cr3t" not in said.out + said.err


def test_an_address_that_leads_nowhere_is_bad(ask: Ask) -> None:
    said = ask("doctor", environ={"POINTSMAN_GATEWAY_BIND": "nosuch.invalid:1"})
    assert (said.code, "BAD  gateway address: nosuch.invalid:1" in said.out) == (NO, True), said
