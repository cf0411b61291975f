"""The token, forged forms, foreign sites, and the headers of every page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from router.settings import Settings

if TYPE_CHECKING:
    from tests.api.conftest import Desk

BEARER = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def locked(desk_of: Callable[..., Desk], settings: Settings) -> Desk:
    return desk_of(replace(settings, token="s3cret", api_bind="0.0.0.0:8321"))


def test_every_address_but_three_needs_the_token(locked: Desk) -> None:
    open_to_all = set()
    for rule in locked.app.url_map.iter_rules():
        path = re.sub("<[^>]+>", "pause", rule.rule)
        for method in rule.methods or set():
            if method in ("HEAD", "OPTIONS"):
                continue
            status = locked.http.open(path, method=method).status_code
            if status not in (401, 302):
                open_to_all.add(rule.endpoint)
    assert open_to_all == {"status.livez", "static", "auth.login"}


def test_the_right_token_opens_and_a_wrong_one_does_not(locked: Desk) -> None:
    assert locked.http.get("/v1/experiments", headers=BEARER).status_code == 200
    for wrong in ("Bearer s3cre", "Bearer s3cret ", "Basic s3cret", "s3cret", "Bearer \u00e9"):
        answer = locked.http.get(
            "/v1/experiments", headers={"Authorization": wrong.encode().decode("latin-1")}
        )
        assert answer.status_code == 401 or wrong.strip() == "Bearer s3cret"
    assert locked.http.get("/v1/experiments").headers["WWW-Authenticate"] == "Bearer"


def test_a_browser_logs_in_for_the_pages_and_never_for_the_api(locked: Desk) -> None:
    browser = locked.http
    answer = browser.get("/?show=live")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/?show%3Dlive")
    assert browser.post("/login", data={"token": "no", "next": "/"}).status_code == 401
    answer = browser.post("/login", data={"token": "s3cret", "next": "/?show=live"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/?show=live")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert browser.get("/").status_code == 200
    assert browser.get("/v1/experiments").status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil"])
def test_login_never_leads_elsewhere(locked: Desk, target: str) -> None:
    answer = locked.http.post("/login", data={"token": "s3cret", "next": target})
    assert answer.headers["Location"] == "/"


def test_a_forged_session_is_no_session(locked: Desk) -> None:
    for cookie in ("", "9" * 15, f"{10**15}.00", f"{10**15}." + "0" * 32, "9" * 60 + ".x", "²." + "0" * 32):
        browser = locked.http
        browser.set_cookie("pm_session", cookie)
        assert browser.get("/").status_code == 302


def test_a_form_without_its_cookie_and_seal_changes_nothing(started: Desk) -> None:
    browser = started.http
    page = browser.get("/experiments/digits-v2/rollback").get_data(as_text=True)
    seal = page.split('name="form" value="')[1].split('"')[0]
    data = {"actor": "ana", "reason": "r", "form": seal}
    assert started.http.post("/experiments/digits-v2/rollback", data=data).status_code == 403
    assert browser.post("/experiments/digits-v2/rollback", data={**data, "form": "0" * 32}).status_code == 403
    assert started.run("digits-v2")["state"] == "held"
    assert browser.post("/experiments/digits-v2/rollback", data=data).status_code == 303
    assert started.run("digits-v2")["state"] == "rolled_back"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
def test_a_page_of_another_site_can_change_nothing(started: Desk, headers: dict[str, str]) -> None:
    answer = started.http.post(
        "/v1/experiments/digits-v2/rollback", json={"actor": "a", "reason": "r"}, headers=headers
    )
    assert answer.status_code == 403
    assert started.run("digits-v2")["state"] == "held"


def test_every_answer_carries_the_headers_that_keep_it_ours(told: Desk) -> None:
    for path in (
        "/",
        "/experiments/digits-v2",
        "/nothing",
        "/v1/experiments",
        "/livez",
        "/static/pointsman.css",
    ):
        with told.http.get(path, buffered=True) as answer:
            headers = answer.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_secret_stands_in_any_answer(locked: Desk) -> None:
    locked.http.post("/login", data={"token": "s3cret"})
    for path in ("/v1/status", "/metrics", "/v1/audit", "/", "/v1/nothing"):
        text = locked.http.get(path, headers=BEARER).get_data(as_text=True)
        assert not any(secret in text for secret in ("s3cret", "ab" * 32, "cd" * 32))
