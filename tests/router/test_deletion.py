"""A route taken away: what the plan spells out, what it refuses, and that nothing of it is ever had twice."""

from __future__ import annotations

import pytest

from router.deletion import begun_again, deleted, deletion
from router.errors import SpecError
from router.flag import Match, Requirement
from router.restore import exported, restored
from tests.router.flags_of import flag, running
from tests.router.test_plan_population import EXPERIMENT, ROUTE, SHARED
from tests.router.world import World

LIVE = {"run": "better.1", "experiment": "better", "route": "web", "state": "running"}


def test_the_plan_names_all_that_goes_and_the_way_back() -> None:
    one = flag(running(), match=Match("/v2", "models.example"), revision=7)
    ended = LIVE | {"run": "better.0", "state": "promoted"}
    elsewhere = LIVE | {"run": "other.1", "route": "phone"}
    runs = {run["run"]: run for run in (ended, LIVE, elsewhere)}
    planned = deletion("web", {"web": one}, runs)
    assert planned.experiments == ("better",)
    assert planned.text().splitlines() == [
        "- route web at revision 7: requests at /v2 of models.example go to another route, or are answered 404, and it is removed",
        *(f"- arm {arm} (http://{arm}) is removed" for arm in ("v1", "v2", "v3")),
        "- run better.1, running, with all that it would still learn, is removed",
        "'pointsman rollback-flag web --to 7' brings it back",
    ]


def test_a_flag_that_is_only_asked_about_says_so() -> None:
    assert "answered FLAG_NOT_FOUND" in deletion("web", {"web": flag()}, {}).text()


def test_a_route_that_another_one_requires_stays() -> None:
    asking = flag(route="phone", requires=(Requirement("web", ("v1",)),))
    with pytest.raises(
        SpecError, match=r"routes\.phone\.requires: expected a route that no other one requires"
    ):
        deletion("web", {"web": flag(), "phone": asking}, {})


def test_revisions_epochs_runs_and_salts_go_on_when_the_name_comes_back() -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    before = world.flags["web"]
    world.end("better.1")
    world.gone["web"] = deleted(world.flags.pop("web"))
    assert exported(world.files, world.flags, world.runs, world.latest).count("route: web") == 0
    world.flags["web"] = begun_again(before.without_experiment("better.1"), world.gone["web"])
    world.apply(EXPERIMENT.replace("ramp", "attempt: 2\nramp"))
    (again,) = world.flags["web"].experiments
    assert (again.run, again.salt) == ("better.2", "web:2")
    assert world.flags["web"].revision > before.revision
    assert begun_again(flag(), None).revision == 1


def test_applying_its_file_begins_it_again() -> None:
    world = World()
    world.apply(SHARED, ROUTE)
    world.gone["web"] = deleted(world.flags.pop("web"))
    plan = world.plan(ROUTE)
    (change,) = plan.changes
    assert change.flag is not None
    assert (change.action, change.flag.revision) == ("create", 3)


def test_an_earlier_revision_of_a_deleted_route_is_restored_above_the_deletion() -> None:
    first = flag(revision=1)
    gone = deleted(flag(running(), revision=4, default="v2", killed=("v3",)))
    again = restored(gone, first)
    assert (again.revision, again.default, again.experiments) == (6, "v1", ())
    assert again.killed == ("v3",)  # a kill switch is taken back by nobody but a person
