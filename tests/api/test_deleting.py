"""Taking a route away over HTTP and from the command line: planned first, held to a revision, and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from router.cli import main
from tests.api.served import served
from tests.api.test_flags import ROUTE, WHO

if TYPE_CHECKING:
    from tests.api.conftest import Desk


@pytest.fixture
def flags(desk: Desk) -> Desk:
    assert desk.apply(ROUTE).status_code == 200
    return desk


@pytest.fixture
def address(flags: Desk) -> Iterator[str]:
    with served(flags.app) as address:
        yield address


def delete(desk: Desk, name: str = "web", tag: int | None = None, **said: Any) -> tuple[int, Any]:
    fields = {} if tag is None else {"If-Match": f'"{tag}"'}
    query = {"actor": "ana", "reason": "because", **said}
    answer = desk.http.delete(f"/v1/routes/{name}", query_string=query, headers=fields)
    return answer.status_code, answer.get_json()


def revision(desk: Desk, name: str = "web") -> int:
    flag = desk.store.flag(name)
    assert flag is not None
    return flag.revision


def test_a_dry_run_only_tells(flags: Desk) -> None:
    before = revision(flags)
    status, answer = delete(flags, dry_run=1, reason="")
    assert (status, answer["deleted"], answer["revision"], answer["ends"]) == (200, False, before, ["better"])
    assert "- arm v1 (http://127.0.0.1:9001) is removed" in answer["text"]
    assert revision(flags) == before


def test_it_is_refused_while_a_run_lives_on_it_or_another_route_requires_it(flags: Desk) -> None:
    status, answer = delete(flags)
    assert (status, answer["error"]["reason"]) == (409, "run_lives")
    status, answer = delete(flags, "pool")
    assert status == 422
    assert "routes.web.requires: expected a route that no other one requires" in answer["error"]["message"]
    assert delete(flags, "wep")[0] == 404
    assert delete(flags, reason="  ")[0] == 422
    assert revision(flags) == 2  # nothing was done


def test_a_revision_that_has_moved_is_refused_with_both(flags: Desk) -> None:
    status, answer = delete(flags, tag=1, end_runs=1)
    assert (status, answer["error"]["expected"], answer["error"]["found"]) == (412, 1, 2)
    assert flags.run("better")["state"] == "held"


def test_the_run_ends_first_and_all_of_it_is_in_the_log(flags: Desk) -> None:
    status, answer = delete(flags, tag=revision(flags), end_runs=1)
    assert (status, answer["deleted"]) == (200, True), answer
    assert flags.run("better")["state"] == "rolled_back"
    log = flags.store.audit(2)
    assert [(one["action"], one["actor"], one["route"]) for one in log] == [
        ("delete", "ana", "web"),
        ("rollback", "ana", "web"),
    ]
    assert log[0]["revision"] == answer["revision"]
    assert log[0]["old"]["default"] == "v1"
    assert flags.http.get("/v1/routes/web").status_code == 404
    assert [row["route"] for row in flags.http.get("/v1/routes").get_json()["routes"]] == ["pool"]
    assert "route: web" not in flags.http.get("/v1/export").get_json()["text"]
    assert delete(flags)[0] == 404
    assert flags.http.get("/").status_code == flags.http.get("/experiments/better").status_code == 200


def test_whoever_asks_for_it_is_told_that_it_is_gone(flags: Desk) -> None:
    flags.plane.flags.flags()
    delete(flags, end_runs=1)
    flags.plane.flags._read_at = float("-inf")  # a quarter of a second later
    assert set(flags.plane.flags.flags()) == {"pool"}
    answer = flags.http.post("/ofrep/v1/evaluate/flags/web", json={"context": {"targetingKey": "ana"}})
    assert (answer.status_code, answer.get_json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


def test_an_earlier_revision_brings_it_back_and_so_does_its_file(flags: Desk) -> None:
    kept = revision(flags)
    gone = delete(flags, end_runs=1)[1]["revision"]
    shown = flags.http.get("/v1/routes/web/revisions").get_json()["revisions"]
    assert max(row["revision"] for row in shown) == gone - 1
    answer = flags.http.post("/v1/routes/web/rollback", json={**WHO, "to": kept})
    assert (answer.status_code, answer.get_json()["moves"]) == (200, [])
    assert revision(flags) == gone + 1
    route = ROUTE.partition("---")[0]
    assert flags.apply(route).get_json()["empty"]
    delete(flags)
    again = flags.apply(route).get_json()
    assert (again["changes"][0]["action"], revision(flags)) == ("create", gone + 3)


def test_the_command_shows_its_plan_and_takes_away_what_it_has_shown(
    flags: Desk, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--api", address])
        return int(ended.value.code or 0), *capsys.readouterr()

    assert "arm v2" in ask("delete", "web", "--dry-run")[1]
    refused = ask("delete", "web", "--reason", "old")
    assert (refused[0], "--end-runs" in refused[2]) == (1, True), refused
    assert ask("delete", "web")[0] == 2  # no reason
    code, out, _ = ask("delete", "web", "--reason", "old", "--end-runs")
    assert (code, "web is deleted with revision 4" in out) == (0, True), out
    code, out, _ = ask("rollback-flag", "web", "--to", "2", "--reason", "too early")
    assert (code, "web revision 5 is as revision 2 was" in out) == (0, True), out
