"""The pages: what they say, that hostile names stay text, and that a form does what it says."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from router.api import words
from router.settings import Settings
from router.store.flags import Change
from tests.conftest import eventually

if TYPE_CHECKING:
    from tests.api.conftest import Desk

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}"
VOID = {"meta", "link", "input", "br", "img"}


class Checked(HTMLParser):
    """Well-formed pages without scripts, styles or addresses elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("script", "style", "iframe", "object", "img")
        assert not any(name.startswith("on") or name == "style" for name in values)
        for name in ("href", "src", "action"):
            assert not str(values.get(name) or "").startswith(("http", "//", "javascript:", "data:"))
        if tag == "svg":
            assert values["role"] == "img" or False if "aria-hidden" not in values else True
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(desk: Desk, path: str, status: int = 200) -> str:
    answer = desk.http.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)
    text = answer.get_data(as_text=True)
    Checked(text)
    return text


def test_an_empty_store_shows_the_way_to_the_first_experiment(desk: Desk) -> None:
    text = page(desk, "/")
    assert "No experiment yet" in text
    assert "pointsman apply" in text
    assert "http-equiv" not in text


def test_the_list_shows_each_headline_and_loads_again_while_a_run_lives(told: Desk) -> None:
    text = page(told, "/")
    assert all(word in text for word in ("PROMOTED", "ROLLED BACK", "CONTINUE"))
    assert '<meta http-equiv="refresh" content="2">' in text
    assert "http-equiv" not in page(told, "/?still=1")
    assert "digits-aa</a></h2>" not in page(told, "/?show=decided")
    assert "digits-v2</a></h2>" not in page(told, "/?show=live")


def test_a_decided_verdict_says_why_with_numbers_and_stays_still(told: Desk) -> None:
    text = page(told, "/experiments/digits-v2")
    assert "PROMOTED from 25 %" in text
    assert "v2 serves everyone" in text
    assert "margin 10.0 pp" in text
    assert "http-equiv" not in text
    assert text.count('scope="col"') >= 12


def test_a_rollback_shows_the_last_misread_scans_by_arm(told: Desk) -> None:
    text = page(told, "/experiments/digits-v3")
    assert "Last misread scans" in text
    assert text.count('class="scan"') == 7
    assert "Last misread scans" not in page(told, "/experiments/digits-v2")


def test_a_run_before_its_first_look_is_shown_without_a_single_invented_number(started: Desk) -> None:
    text = page(started, "/experiments/digits-v2")
    assert "HELD" in text
    assert "v2 gets no traffic yet: arm not ready." in text
    assert text.count("not measured yet") == 4
    assert "no look yet" in text
    assert "nan" not in text.lower().replace("pointsman", "")


def test_unhealthy_telemetry_greys_the_headline_and_says_what_is_wrong(told: Desk) -> None:
    run = told.run("digits-aa")
    evidence = json.loads(json.dumps(run["evidence"]))
    evidence["health"] |= {"ok": False, "problems": ["sample ratio mismatch: 50.0% asked, 33.0% arrived"]}
    evidence["health"]["srm"]["ok"] = False
    told.store.commit(Change({}, run={**run, "evidence": evidence, "version": run["version"] + 1}))
    text = page(told, "/experiments/digits-aa")
    assert "UNHEALTHY" in text
    assert 'class="greyed"' in text
    assert "The counts cannot be trusted, so nothing moves: sample ratio mismatch" in text


def test_hostile_names_and_reasons_stay_text(told: Desk) -> None:
    act = {"actor": HOSTILE, "reason": HOSTILE}
    assert told.http.post("/v1/experiments/digits-aa/pause", json=act).status_code == 200
    for path in ("/", "/experiments/digits-aa", "/experiments/digits-aa/resume"):
        text = page(told, path)
        assert "<script" not in text
        assert "49" not in re.findall(r"\{\{.*?\}\}|7\*7=49", text)
    assert "&lt;script&gt;" in page(told, "/experiments/digits-aa")
    page(told, "/experiments/" + "%3Cscript%3E", 404)
    page(told, "/try?unit=%3Cscript%3E%22&app=%3Cb%3E&told=%3Cscript%3E")


def test_a_confirm_page_keeps_who_and_why_and_insists_on_both(told: Desk) -> None:
    browser = told.http
    text = browser.get("/experiments/digits-v2/rollback").get_data(as_text=True)
    Checked(text)
    assert "Everyone on route digits-web gets v1." in text
    seal = text.split('name="form" value="')[1].split('"')[0]
    answer = browser.post(
        "/experiments/digits-v2/rollback", data={"form": seal, "actor": "ana", "reason": " "}
    )
    assert answer.status_code == 400
    assert "fill in both" in answer.get_data(as_text=True)
    page(told, "/experiments/digits-v2/explode", 404)


def test_there_is_no_try_page_outside_the_demo(started: Desk) -> None:
    page(started, "/try", 404)
    assert "/try" not in page(started, "/")


class Gateway(http.server.BaseHTTPRequestHandler):
    """Answers as the gateway would; the decision id is put in by the test."""

    decision = ""
    seen: list[tuple[str, str, Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["X-Person"], body))
        content = json.dumps({"outputs": [{"name": "digit", "data": [7]}]}).encode()
        self.send_response(200)
        self.send_header("Pointsman-Arm", "twin")
        self.send_header("Pointsman-Decision", self.decision)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Quiet."""


@pytest.fixture
def gateway() -> Iterator[str]:
    Gateway.seen.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_you_are_a_unit_and_your_click_is_an_outcome(
    told: Desk, desk_of: Callable[..., Desk], gateway: str
) -> None:
    desk = desk_of(replace(told.settings, gateway_url=gateway))
    Gateway.decision = desk.sign("digits-aa", unit=b"you")
    browser = desk.http
    text = browser.get("/try").get_data(as_text=True)
    Checked(text)
    ((path, person, body),) = Gateway.seen
    assert (path, person, body["inputs"][0]["shape"]) == ("/web/v2/models/digits/infer", "you", [1, 64])
    assert 'twin reads <span class="digit">7</span>' in text
    assert "Your bucket is" in text
    fields = dict(re.findall(r'name="(form|app|unit|decision)" value="([^"]*)"', text))
    answer = browser.post("/try", data={**fields, "judged": "wrong"})
    assert (answer.status_code, "told=accepted" in answer.headers["Location"]) == (303, True)
    key = desk.keys.run(desk.run("digits-aa")["run"]).events

    def stored() -> bool:
        rows: Any = desk.client.xrange(key)
        return any(b"ou" in fields for _, fields in rows)

    eventually(stored)
    assert "Your report is stored" in browser.get(answer.headers["Location"]).get_data(as_text=True)
    forged = browser.post("/try", data={**fields, "decision": "x" * 40, "judged": "wrong"})
    assert "told=malformed" in forged.headers["Location"]


def test_without_a_gateway_the_try_page_says_so(told: Desk, desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(replace(told.settings, gateway_url="http://127.0.0.1:1"))
    text = page(desk, "/try?unit=%E3%83%A6")
    assert "the gateway gave no answer" in text


def test_while_the_demo_prepares_its_scans_the_try_page_waits(
    desk_of: Callable[..., Desk], settings: Settings, tmp_path: Any
) -> None:
    assert "still preparing" in page(desk_of(replace(settings, demo_folder=str(tmp_path))), "/try")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (0.0, "+0.0 pp"), (0.0004, "+0.04 pp"), (-0.414, "-41.4 pp"), (1.0, "+100.0 pp")],
)
def test_a_difference_of_shares_is_told_in_percentage_points(value: float | None, text: str) -> None:
    assert words.difference({"kind": "proportion"}, value) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "n/a"), (0, "0 ms"), (1500, "1.5 s"), (600_000, "10 min"), (604_800_000, "7 d")]
)
def test_a_duration_is_told_in_the_largest_unit_that_fits(ms: int | None, text: str) -> None:
    assert words.duration(ms) == text
