"""A controller on a real Redis with runs to lead, and the writer whose events it folds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import redis

from router.controller.loop import Controller, now_ms
from router.document import load
from router.event_rows import EXPOSURE, OUTCOME, OutcomeRows, RequestRows, pack_where
from router.events import Entry
from router.files import parse_documents
from router.plan import Planner
from router.settings import Settings
from router.store.events import EventLog
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from router.store.ledger import Ledger
from tests.controller.runs import EXPERIMENT, ROUTE


@dataclass
class Yard:
    """A store with runs on routes of their own, and a clock that can be put forward."""

    client: redis.Redis
    settings: Settings
    ahead: int = 0
    seqs: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, client: redis.Redis, url: str, prefix: str, folder: Path, **settings: Any) -> Yard:
        named = {"redis_url": url, "prefix": prefix, "data_dir": str(folder), **settings}
        return cls(client, Settings.load({}, None, named))

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.prefix)

    @property
    def store(self) -> FlagStore:
        return FlagStore(self.client, self.keys)

    def now(self) -> int:
        return now_ms() + self.ahead

    def start(self, *names: str, experiment: str = EXPERIMENT) -> None:
        """One route with one run for each name."""
        texts = []
        for name in names:
            texts.append(ROUTE.replace("digits", name) + f"match: {{path: /{name}}}\n")
            texts.append(experiment.replace("digits", name))
        live = self.store.live()
        plan = Planner(live.flags, live.runs, live.latest, live.files, self.now()).plan(
            parse_documents(load("---".join(texts)), {"route": live.flags})
        )
        for change in plan.changes:
            self.store.commit(
                Change({"actor": "ana"}, change.flag, change.run, {change.file_key: change.file_text})
            )

    def controller(self) -> Controller:
        return Controller(self.client, self.settings, self.now)

    def ledger(self, run: str) -> Ledger:
        return Ledger(self.client, self.keys, run)

    def run(self, run: str) -> dict[str, Any]:
        found = self.store.run(run)
        assert found is not None
        return found

    def store_run(self, run: str, **changes: Any) -> None:
        """Write a run's state as it stands, past every check."""
        self.client.hset(self.keys.runs, run, msgspec.json.encode({**self.run(run), **changes}))

    def ready(self, *names: str, now: int | None = None, answered: bool = True, gateway: str = "g1") -> None:
        """A gateway says that it has seen the treatments of these runs ready."""
        time = self.now() if now is None else now
        seen = {f"{name}/v2": answered for name in names}
        self.store.heartbeat(gateway, {"role": "gateway", "writer": gateway, "time": time, "ready": seen})

    def send(self, run: str, requests: Any = (), outcomes: Any = (), writer: str = "w1") -> None:
        """An entry of (unit, arm) requests and (unit, value, key) outcomes that happen now."""
        seq = self.seqs[run, writer] = self.seqs.get((run, writer), 0) + 1
        now, rows, reported = self.now(), RequestRows(), OutcomeRows()
        for unit, arm in requests:
            rows.append(unit, 0, pack_where(unit % 1000, arm, EXPOSURE | OUTCOME), 5000)
        for unit, value, key in outcomes:
            reported.append(unit, 0, value * 1_000_000, now, -1, key, -1)
        names = ("corrected",) if outcomes else ()
        entry = Entry(writer, seq, 1, 1, now, base=now, requests=rows, outcomes=reported, names=names)
        EventLog(self.client, self.keys).append(run, entry)
