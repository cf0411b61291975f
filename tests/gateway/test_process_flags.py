"""The real gateway evaluates what people wrote: rules, forced arms and kill switches, in every worker, as flags change."""

from __future__ import annotations

import re
import time
from pathlib import Path

from router.bucketing import bucket
from router.deletion import begun_again, deleted
from router.forcing import Forcing
from router.lanes import Holdout
from router.rules import Condition, Rule
from router.store.flags import Change
from router.store.secrets import load_secrets
from tests.gateway.running import World, eventually, exposures_of
from tests.router.flags_of import part, running

STAFF = Rule("staff", (Condition("mail", "matches", (r"^\w+@corp\.example$",)),), "v2")
MAIL = (("mail", "header", "x-mail"),)


def arms(world: World, **headers: str) -> set[str]:
    """The arms that answer a few requests on connections of their own, which both workers take."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return {world.get("/x", **fields)[1]["Pointsman-Arm"] for _ in range(12)}


def assignments(world: World) -> dict[str, int]:
    """Assignments by reason, over all workers."""
    found = (
        (re.search(r'reason="(\w+)"', key), n) for key, n in world.metrics().items() if "_assignments" in key
    )
    return {match[1]: int(n) for match, n in found if match and n}


def test_flags_as_people_write_them_route_real_requests(tmp_path: Path) -> None:
    held = Holdout("h", "holdout:h", 500_000)
    one = running(share=1, holdouts=(held,), layer=part((0, 1_000_000)))
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(one,), rules=(STAFF,), attributes=MAIL, epoch=1))
        world.start()
        inside = next(f"u{i}" for i in range(100) if bucket("holdout:h", f"u{i}") >= 500_000)
        outside = next(f"u{i}" for i in range(100) if bucket("holdout:h", f"u{i}") < 500_000)
        assert arms(world, x_person=inside, x_mail="ana@corp.example") == {"v2"}
        assert arms(world, x_person=inside, x_mail="ana@corp.example.org") == {"v1"}
        word = Forcing(load_secrets(world.settings).decision_keys).word(
            "web", "v2", time.time_ns() // 10**6 + 60_000
        )
        assert arms(world, x_person=outside, pointsman_force=word) == {"v2"}
        assert arms(world, x_person=outside, pointsman_force=word[:-1]) == {"v1"}
        wanted = {"rule": 12, "forced": 12, "holdout": 12, "enrolled": 12}
        eventually(lambda: assignments(world) == wanted)  # other workers' counters come with their next tick
        flag = world.store.flag("web")
        assert flag is not None
        world.put(flag.with_kill("v2", on=True).with_revision(flag.revision + 1))
        eventually(lambda: arms(world, x_person=inside, x_mail="ana@corp.example") == {"v1"})
        assert arms(world, x_person=outside, pointsman_force=word) == {"v1"}
        eventually(
            lambda: exposures_of(world.entries("better.1")) == 12
        )  # the enrolled ones, and nobody else


def test_a_deleted_route_is_answered_404_by_every_worker_and_stays_away_over_a_start_without_redis(
    tmp_path: Path,
) -> None:
    def answers() -> set[int]:
        return {world.get("/x", **{"x-person": "ana"})[0] for _ in range(12)}

    with World(tmp_path) as world:
        world.put(world.flag())
        world.put(world.flag(route="other", path="/other"))
        world.start()
        assert answers() == {200}
        gone = deleted(world.flag())
        world.store.commit(Change({"action": "delete"}, gone, deletes=True))
        eventually(lambda: answers() == {404})
        world.group.stop()
        world.redis.stop()
        world.start()
        assert answers() == {404}
        assert world.get("/other")[0] == 200
        world.redis.start()
        world.put(begun_again(world.flag(), gone))
        eventually(lambda: answers() == {200})
