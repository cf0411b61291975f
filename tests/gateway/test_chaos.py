"""What Redis may do to a gateway that routes: stay away, come back empty or older, be exchanged; and what people still can."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.controller.loop import Controller
from router.errors import StaleRevision
from router.gateway import disk, override
from router.settings import Settings
from router.store.connect import connect
from tests.gateway.running import World, eventually


def answering(world: World, path: str = "/x") -> set[str]:
    """The arms that answer on connections of their own, which every worker takes."""
    return {json.loads(world.get(path)[2]).get("arm", "none") for _ in range(10)}


def state(world: World) -> Any:
    return json.loads(world.get("/readyz")[2])


def everywhere(world: World, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until every worker that answers says so."""
    eventually(lambda: all(holds(state(world)) for _ in range(10)))


def beats(world: World) -> list[dict[str, Any]]:
    return world.store.heartbeats(time.time_ns() // 10**6)


def kept(world: World) -> Path:
    return Path(world.settings.data_dir) / disk.NAME


def test_kill_while_redis_is_dead(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(default="v2"))
        world.start()
        assert answering(world) == {"v2"}
        world.redis.kill()
        everywhere(world, lambda now: now["store"] == "away")
        file = Path(world.settings.data_dir) / override.NAME
        file.write_text('{"reason": "v2 answers nonsense", "default": {"web": "v1"}, "kill": ["web/v2"]}')
        eventually(lambda: answering(world) == {"v1"})
        assert state(world)["override"]["reason"] == "v2 answers nonsense"
        assert world.counted("pointsman_overridden") == 1
        world.redis.restart()
        everywhere(world, lambda now: now["store"] == "up")
        assert answering(world) == {"v1"}  # above the store too, until somebody takes the file away
        eventually(
            lambda: [(beat["override"] or {}).get("kill") for beat in beats(world)] == [["web/v2"]] * 2
        )
        file.unlink()
        eventually(lambda: answering(world) == {"v2"})


def test_dead_at_boot_with_a_damaged_copy_routes_what_is_whole(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(route="a", path="/a", default="v2"))
        world.put(world.flag(route="b", path="/b", default="v2"))
        world.start()
        eventually(lambda: kept(world).exists() and kept(world).read_bytes().count(b"\n") == 3)
        world.group.stop()
        world.redis.kill()
        lines = kept(world).read_bytes().split(b"\n")
        at = next(number for number, line in enumerate(lines) if b'"route":"a"' in line)
        lines[at] = lines[at].replace(
            b'"default":"v2"', b'"default":"v1"'
        )  # well written, and not what was kept
        kept(world).write_bytes(b"\n".join(lines))
        world.start()
        assert world.get("/a")[0] == 404
        assert answering(world, "/b") == {"v2"}
        assert "damaged" in world.log()
        world.redis.restart()
        eventually(lambda: answering(world, "/a") == {"v2"})


def test_a_flushed_store_leaves_everything_and_its_new_flags_are_taken(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(default="v2"))
        world.put(world.flag(route="other", path="/other"))
        world.put(world.flag(default="v2", revision=2))
        world.start()
        world.client.flushall()
        everywhere(world, lambda now: now["store"] == "wiped")
        assert answering(world) == {"v2"}
        assert state(world)["revisions"] == {"web": 2, "other": 1}
        with contextlib.suppress(StaleRevision):  # whoever writes on what he read before is refused
            world.put(world.flag(revision=3))
            raise AssertionError("a stale writer was taken")
        world.put(world.flag())  # a person applies again
        eventually(lambda: answering(world) == {"v1"})
        assert world.get("/other")[0] == 200


def test_a_restored_store_is_behind_until_the_controller_writes_it_anew(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        backup = {key: world.client.dump(key) for key in world.client.scan_iter("*")}
        world.put(world.flag(revision=2, default="v2"))
        world.put(world.flag(revision=3, default="v2"))
        world.start()
        # Every worker has read the flags: one that had not could not know that they went back.
        eventually(lambda: len(beats(world)) == world.settings.gateway_workers)
        everywhere(world, lambda now: now["revisions"] == {"web": 3})
        world.redis.kill()
        everywhere(world, lambda now: now["store"] == "away")
        world.redis.restart()
        with connect(world.redis.url) as client:
            # At once, as a server comes back from its backup: nobody sees it half filled.
            pipe = client.pipeline(transaction=True)
            pipe.flushall()
            for key, text in backup.items():
                pipe.restore(key, 0, text)
            pipe.execute()
            for kind in ("normal", "pubsub"):  # and as after a restart, everyone connects anew
                client.client_kill_filter(_type=kind, skipme=True)
            everywhere(world, lambda now: now["behind"] == {"web": 3})
            assert answering(world) == {"v2"}  # a worker never goes back by itself
            settings = Settings.load({}, None, {**_named(world), "data_dir": str(tmp_path / "controller")})
            assert Controller(client, settings).tick()
        everywhere(world, lambda now: now["revisions"] == {"web": 4} and not now["behind"])
        eventually(lambda: answering(world) == {"v1"})
        assert world.store.audit(1)[0]["action"] == "lift"


def _named(world: World) -> dict[str, str]:
    return {"redis_url": world.settings.redis_url, "prefix": world.settings.prefix}


def test_a_lost_message_is_repaired_by_the_next_poll_in_every_worker(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        world.keys.notice += "-of-nobody"
        world.put(world.flag(revision=2, default="v2"))
        eventually(lambda: [beat["revisions"] for beat in beats(world)] == [{"web": 2}] * 2)
        eventually(lambda: answering(world) == {"v2"})
