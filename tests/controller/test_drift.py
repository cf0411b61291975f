"""Which models answered, as the controller hears of it: whoever told it may be gone, and so may who heard it first."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from router.events import Entry, Sighting
from router.local.redis_server import RedisServer
from router.roll import roll
from router.store.events import EventLog
from router.store.flags import Change
from tests.controller.leading import Yard
from tests.controller.runs import EXPERIMENT

RUN = "a-v2.1"


@pytest.fixture
def yard(redis_server: RedisServer, client: redis.Redis, prefix: str, tmp_path: Path) -> Yard:
    made = Yard.of(client, redis_server.url, prefix, tmp_path)
    made.start("a", experiment=EXPERIMENT)
    made.ready("a")
    return made


def tell(yard: Yard, writer: str, **names: str) -> None:
    """A worker's entry: each arm answered a request of now under this name."""
    seq = yard.seqs[RUN, writer] = yard.seqs.get((RUN, writer), 0) + 1
    now = yard.now()
    told = tuple(Sighting(arm, name, now, now) for arm, name in names.items())
    EventLog(yard.client, yard.keys).append(RUN, Entry(writer, seq, 1, 1, now, base=now, sightings=told))


def problems(yard: Yard) -> list[str]:
    """What a controller that has just begun says at its look."""
    yard.ahead += yard.settings.look_ms
    yard.client.delete(yard.keys.lease)
    assert yard.controller().tick()
    found: list[str] = [
        words for words in yard.run(RUN)["evidence"]["health"]["problems"] if "answer" in words
    ]
    assert (yard.run(RUN)["verdict"] == "invalid") or not found
    return found


def declare(yard: Yard, name: str) -> None:
    rolled, _ = roll(yard.run(RUN), "v2", yard.now(), "ana", "retrained", name)
    yard.store.commit(Change({"actor": "ana"}, run=rolled))


def test_two_builds_at_once_are_remembered_when_those_who_saw_them_are_gone(yard: Yard) -> None:
    tell(yard, "w1", v1="1", v2="2")
    assert problems(yard) == []
    tell(yard, "w2", v2="3")
    assert problems(yard) == ["v2 answers as '2' and '3': it changed under the run"]
    yard.ahead += 60_000
    tell(yard, "w3", v1="1", v2="3")
    assert problems(yard) == ["v2 answers as '2' and '3': it changed under the run"]


def test_a_declared_roll_is_a_new_stratum_and_ends_the_doubt(yard: Yard) -> None:
    tell(yard, "w1", v1="1", v2="2")
    tell(yard, "w1", v2="3")
    assert len(problems(yard)) == 1
    yard.ahead += 1000
    declare(yard, "3")
    assert problems(yard) == []
    tell(yard, "w1", v1="1", v2="3")
    yard.send(RUN, requests=[(1, 1), (2, 1)], writer="w2")
    assert problems(yard) == []
    moments = yard.ledger(RUN).load().moments
    assert {name for name in moments if name.endswith("|1||u|n")} == {"1.1|1||u|n"}
    tell(yard, "w1", v2="2")
    assert problems(yard) == ["v2 is declared '3' and answers as '2'"]


def test_an_update_that_was_pushed_to_neither_arm_stays_invalid_after_a_roll(yard: Yard) -> None:
    tell(yard, "w1", v1="1", v2="1")
    yard.ahead += 1000
    declare(yard, "2")
    tell(yard, "w1", v1="1", v2="2")
    assert problems(yard) == ["v1 and v2 both answered as '1': was the update pushed?"]
