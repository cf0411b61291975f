"""A real Redis, an application on it, and a store that looks as if both stories of the demo had been played.

Run as a program it serves the seeded pages, to look at them: ``python tests/api/conftest.py 8399``.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from router.api import create_app
from router.api.plane import EXTENSION, Plane, wall_ms
from router.decision import decide
from router.demo.story import AA_PAIR, CANARIES, Cast, experiment_text, route_text
from router.document import load
from router.evidence import Health, weigh
from router.files import parse_documents
from router.flag import Flag
from router.local.redis_server import RedisServer, find_redis
from router.metric import KINDS
from router.plan import Planner
from router.settings import Settings
from router.store.connect import connect
from router.store.flags import Change, FlagStore
from router.store.keys import Keys

PORTS = {"v1": 9001, "v2": 9002, "v3": 9003}
SECRETS = {"decision_keys": "1:" + "ab" * 32, "unit_key": "cd" * 32}


@dataclass
class Desk:
    """An application under test, and the doors to what is behind it."""

    app: Flask
    client: redis.Redis
    settings: Settings
    route: str
    file: str

    @property
    def plane(self) -> Plane:
        plane: Plane = self.app.extensions[EXTENSION]
        return plane

    @property
    def http(self) -> FlaskClient:
        return self.app.test_client()

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.prefix)

    @property
    def store(self) -> FlagStore:
        return self.plane.store

    def apply(self, *texts: str, **more: Any) -> Any:
        files = [{"name": f"file{i}.yaml", "text": text} for i, text in enumerate(texts)]
        body = {"files": files, "actor": "ana", "reason": "a test", **more}
        return self.http.post("/v1/apply", json=body)

    def run(self, experiment: str) -> dict[str, Any]:
        run = self.store.latest_run(experiment)
        assert run is not None
        return run

    def sign(
        self, experiment: str, *, unit: bytes = b"u1", arm: int = 1, analysed: bool = True, age_ms: int = 0
    ) -> str:
        """The decision id a gateway would have given."""
        run, plane = self.run(experiment), self.plane
        when = plane.now() - age_ms
        digest = plane.digest(unit)
        name = run["run"].encode()
        return plane.signer.sign(
            name, run["epoch"], 3, arm, analysed, digest, when, secrets.randbits(64)
        ).decode()


WEB, PHONE = CANARIES
WEB_ROUTE, PHONE_ROUTE = (route_text(cast, PORTS) for cast in CANARIES)
WEB_FILE, PHONE_FILE = (experiment_text(cast) for cast in CANARIES)


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    named = {
        "redis_url": redis_server.url,
        "prefix": f"t{secrets.token_hex(4)}:",
        "data_dir": str(tmp_path / "data"),
    }
    return Settings.load({}, None, {**named, **SECRETS})


@pytest.fixture
def desk_of() -> Iterator[Callable[..., Desk]]:
    """Makes desks; all of them are closed in the end."""
    made: list[Desk] = []

    def make(settings: Settings, now: Callable[[], int] = wall_ms) -> Desk:
        client = connect(settings.redis_url, settings.store_timeout_ms)
        desk = Desk(create_app(settings, client, now), client, settings, WEB_ROUTE, WEB_FILE)
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.plane.close()
        desk.client.close()


@pytest.fixture
def desk(desk_of: Callable[..., Desk], settings: Settings) -> Desk:
    """An application on an empty store."""
    return desk_of(settings)


@pytest.fixture
def started(desk: Desk) -> Desk:
    """An application on a store where both experiments of the demo are applied."""
    assert desk.apply(WEB_ROUTE, PHONE_ROUTE, WEB_FILE, PHONE_FILE).status_code == 200
    return desk


@pytest.fixture
def told(desk_of: Callable[..., Desk], settings: Settings, tmp_path: Path) -> Desk:
    """An application whose store holds both stories as they end, one that goes on, and the demo's folder."""
    folder = tmp_path / "demo"
    folder.mkdir()
    write_demo_folder(folder)
    desk = desk_of(replace(settings, demo_folder=str(folder), gateway_url="http://127.0.0.1:1"))
    tell_stories(desk.store, wall_ms())
    return desk


def write_demo_folder(folder: Path) -> None:
    """Scans that look a little like digits, and some that were misread."""
    rng = random.Random(3)
    scans: list[dict[str, Any]] = []
    for index in range(40):
        pixels = [0] * 64
        for y in range(8):
            x = 3 + rng.choice((-1, 0, 0, 1))
            for dx, ink in ((0, 15), (1, rng.choice((6, 12))), (-1, rng.choice((0, 4)))):
                pixels[y * 8 + max(0, min(7, x + dx))] = ink
        scans.append({"index": index, "pixels": pixels, "label": index % 10})
    rows: list[dict[str, Any]] = [{"arm": arm, "index": rng.randrange(40), "answer": rng.randrange(10), "label": 0}
            for arm in ("v1", "v3", "v3", "v3", "v3", "v1", "v3")]  # fmt: skip
    rows = [{**row, "label": scans[row["index"]]["label"]} for row in rows]
    (folder / "scans.json").write_text(json.dumps(scans))
    (folder / "misread.json").write_text(json.dumps({"digits-v3": rows}))
    (folder / "demo.json").write_text(json.dumps({"routes": {cast.app: cast.route for cast in CANARIES}}))


def tell_stories(store: FlagStore, now: int) -> None:
    """Promoted, rolled back, and on its way: with the real evidence and the real decisions on simulated counts."""
    begun = now - 60_000
    _play(store, WEB, "v1", begun, 56, {"v1": 0.43, "v2": 0.03})
    _play(store, PHONE, "v1", begun, 40, {"v1": 0.43, "v3": 0.80})
    twin = replace(AA_PAIR[0], experiment="digits-aa", twin_of="v2")
    _play(store, twin, "v2", now - 25_000, 25, {"v2": 0.04, "twin": 0.04})


def _play(
    store: FlagStore, cast: Cast, control: str, begun: int, seconds: int, corrected: dict[str, float]
) -> None:
    _apply(store, cast, control, begun)
    rng = random.Random(cast.experiment)
    moments: dict[str, int] = {}
    for second in range(seconds):
        run = store.latest_run(cast.experiment)
        assert run is not None
        flag = store.flag(run["route"])
        assert flag is not None
        if run["state"] not in ("held", "running"):
            return
        now = begun + 1000 * second
        _arrive(moments, run, flag, corrected, rng)
        _look(store, run, flag, moments, now)


def _apply(store: FlagStore, cast: Cast, control: str, now: int) -> None:
    texts = (route_text(cast, PORTS), experiment_text(cast, control))
    documents = [
        document for i, text in enumerate(texts) for document in load(text, f"{cast.experiment}{i}.yaml")
    ]
    live = store.live()
    plan = Planner(live.flags, live.runs, live.latest, live.files, now).plan(parse_documents(documents))
    for change in plan.changes:
        if change.flag is None and change.run is None:
            continue
        audit = {"time": now, "actor": "ana", "action": change.action, "reason": "the new model is ready",
                 "route": cast.route, "experiment": cast.experiment, "revision": change.flag and change.flag.revision,
                 "what": list(change.lines)}  # fmt: skip
        store.commit(Change(audit, change.flag, change.run, {change.file_key: change.file_text}))


def _arrive(
    moments: dict[str, int], run: dict[str, Any], flag: Flag, corrected: dict[str, float], rng: random.Random
) -> None:
    """One second of traffic: units that are new, and those whose window has closed."""
    running = flag.experiment(run["run"])
    if running is None:
        return

    def add(arm: int, metric: str, reading: str, name: str, n: int) -> None:
        key = f"{run['epoch']}|{arm}|{metric}|{reading}|{name}"
        moments[key] = moments.get(key, 0) + n

    for lane in running.lanes:
        arm = running.arm_index(lane.arm)
        new = sum(rng.random() < 0.5 for _ in range(240 * lane.width(running.coverage) // 1_000_000))
        for _ in range(new):
            reported, wrong = rng.random() < 0.8, int(rng.random() < corrected[lane.arm])
            add(arm, "", "u", "n", 1)
            add(arm, "", "c", "n", 1)
            for metric in run["spec"]["metrics"]:
                name, value = metric["name"], wrong
                if metric["builtin"]:
                    value = int(rng.random() < (0.01 if name == "slow" else 0.0))
                elif not reported:
                    continue
                else:
                    add(arm, name, "p", "n", 1)
                    add(arm, name, "e", "n", value)
                kind = KINDS[metric["kind"]]
                for reading, letter in ((kind.running, "r"), (kind.closed, "c")):
                    for part, amount in zip(reading.names, reading.part(value * 1_000_000, 1), strict=True):
                        add(arm, name, letter, part, amount)


def _look(store: FlagStore, run: dict[str, Any], flag: Flag, moments: dict[str, int], now: int) -> None:
    sent = sum(value for key, value in moments.items() if key.endswith("||u|n"))
    evidence = weigh(run, moments, Health(sent=(sent, sent // 3), lag_ms=140), now)
    decision = decide(run, evidence, flag, now, ready=True)
    row = evidence.document["metrics"]["corrected"]
    low, high = row["interval"] or (None, None)
    look = [now, row["estimate"], low, high, row["control"]["n"], row["treatment"]["n"]]
    new_run = dict(decision.run) if decision.run is not None else {**run, "version": run["version"] + 1}
    new_run |= {
        "evidence": evidence.document,
        "verdict": evidence.verdict.value,
        "maxima": evidence.maxima,
        "srm": evidence.srm,
        "waits": list(decision.waits),
        "look": {
            "number": (run["look"] or {}).get("number", 0) + 1,
            "time": now,
            "cursor": {},
            "watermark": now,
        },
        "looks": [*run["looks"], look],
    }
    acted = decision.action.value != "none"
    audit = {"time": now, "actor": "controller", "action": decision.action.value, "reason": decision.sentence,
             "route": run["route"], "run": run["run"], "revision": flag.revision} if acted else {}  # fmt: skip
    store.commit(Change(audit, decision.flag, new_run))


def _serve(port: int) -> None:
    from werkzeug.serving import make_server

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_folder(folder)
        server = RedisServer(find_redis(os.environ).binary, folder / "redis")
        server.start()
        named = {
            "redis_url": server.url,
            "data_dir": name,
            "demo_folder": name,
            "api_bind": f"127.0.0.1:{port}",
        }
        settings = Settings.load({}, None, {**named, **SECRETS})
        app = create_app(settings, connect(server.url))
        tell_stories(app.extensions[EXTENSION].store, wall_ms())
        try:
            make_server("127.0.0.1", port, app, threaded=True).serve_forever()
        finally:
            server.stop()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
