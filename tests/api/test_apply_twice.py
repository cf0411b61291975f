"""Two people apply: nobody overwrites what he has not seen, and is told what it was. And files that go too far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from router.store.flags import Change

if TYPE_CHECKING:
    from tests.api.conftest import Desk


def test_a_dry_run_names_the_revisions_that_its_plan_stands_on(desk: Desk) -> None:
    plan = desk.http.post(
        "/v1/apply?dry_run=1",
        json={"files": [{"name": "r", "text": desk.route}, {"name": "e", "text": desk.file}]},
    ).get_json()
    assert plan["revisions"] == {"digits-web": 0}
    assert desk.apply(desk.route, expected=plan["revisions"]).status_code == 200
    answer = desk.apply(desk.route.replace("default: v1", "default: v2"), expected=plan["revisions"])
    assert (answer.status_code, answer.json["error"]["expected"], answer.json["error"]["found"]) == (
        412,
        0,
        1,
    )


def test_the_difference_is_told_whoever_wrote_the_revision(started: Desk) -> None:
    """The controller's own entries say state and step; the store keeps the flag beside them."""
    flag = started.store.flag("digits-web")
    assert flag is not None
    run = flag.experiments[0].run
    for coverage in (40_000, 200_000):
        flag = flag.with_coverage(run, coverage).with_revision(flag.revision + 1)
        entry = {
            "actor": "controller",
            "action": "advance",
            "route": "digits-web",
            "old": {"step": 0},
            "new": {"step": 1},
        }
        started.store.commit(Change(entry, flag=flag))
    answer = started.apply(started.route, expected={"digits-web": flag.revision - 1})
    error = answer.json["error"]
    assert (answer.status_code, error["found"]) == (412, flag.revision)
    assert "coverage" in error["difference"]
    assert f"revision: {flag.revision - 1} -> {flag.revision}" in error["difference"]


@pytest.mark.parametrize("text", ["[" * 3000, "a: " + "{b: " * 2000, "- " * 3000, '["' * 3000])
def test_a_file_that_is_too_deep_is_refused_with_its_name(desk: Desk, text: str) -> None:
    answer = desk.apply(text)
    assert answer.status_code == 422
    assert answer.json["error"]["problems"][0]["file"] == "file0.yaml"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001/x y", "upstream: expected an address"),
        (
            "path: /web/v2",
            'headers: {x-a: "a\\nb"}, path: /web/v2',
            "headers.x-a: expected printable text on one line",
        ),
        ("path: /web/v2", 'headers: {"x a": b}, path: /web/v2', "expected a field name"),
        ("path: /web/v2", 'host: "a\\rb", path: /web/v2', "host: expected printable text on one line"),
        ("path: /web/v2", 'path: "/a\\tb", x: /web/v2', "match.path: expected a path"),
    ],
)
def test_what_cannot_stand_in_a_head_is_refused(desk: Desk, old: str, new: str, text: str) -> None:
    assert old in desk.route
    answer = desk.apply(desk.route.replace(old, new))
    assert (answer.status_code, text in answer.json["error"]["message"]) == (422, True), answer.json


@pytest.mark.parametrize(
    "alpha", ["{promote: 100%}", "{promote: 50%}", "{harm: 50%}", "{harm: 0%}", "{promote: 5}"]
)
def test_an_error_rate_that_tests_nothing_is_refused(desk: Desk, alpha: str) -> None:
    answer = desk.apply(desk.route, desk.file.replace("alpha: {promote: 5%, harm: 1%}", f"alpha: {alpha}"))
    assert (answer.status_code, "alpha." in answer.json["error"]["message"]) == (422, True), answer.json


def test_a_change_that_is_too_large_writes_nothing(started: Desk) -> None:
    flag = started.store.flag("digits-web")
    assert flag is not None
    new = flag.with_default("v2").with_revision(flag.revision + 1)
    with pytest.raises(Exception, match="put: expected values of at most 4 MiB"):
        started.store.commit(Change({"actor": "ana", "reason": "x" * (5 << 20)}, flag=new))
    assert started.store.flag("digits-web") == flag
