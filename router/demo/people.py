"""The simulated people: they visit, compare the answer with what they wrote, and most of them say so.

A visit is one request of three scans. 8,000 people per app come back with uneven activity (lognormal, sigma 1), so
many are seen before, during and after a step of the ramp. Four in five report, right or corrected, a moment later,
in batches through the outcome API, by the decision id of the answer they got.

Every half second one JSON line on stdout tells what happened; the screen reads it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router.demo.digits import PIXELS, Scan, read_scans
from router.demo.judge import RepeatedTTest, ThresholdRule

PEOPLE = 8_000
SCANS_PER_VISIT = 3
REPORTING_SHARE = 0.8
THINKING_S = (0.2, 0.9)
VISITORS_PER_APP = 6
TELL_EVERY_S = 0.5
REPORT_EVERY_S = 0.2
TIMEOUT_S = 10.0
MISREAD_SHOWN = 8


@dataclass(slots=True)
class ArmSeen:
    """What the people saw of one arm."""

    visits: int = 0
    failed: int = 0
    scans: int = 0
    misread: int = 0


@dataclass(slots=True)
class App:
    """One app, its people and its judges; ``lock`` guards the counts, which several visitors write."""

    name: str
    path: str
    treatment: str
    experiment: str
    rate: float
    mute: str
    arms: dict[str, ArmSeen] = field(default_factory=dict)
    misread: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rule: ThresholdRule = field(default_factory=ThresholdRule)
    ttest: RepeatedTTest = field(default_factory=RepeatedTTest)
    reports: list[tuple[float, str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Crowd:
    """All people of all apps, the visitors (threads) that act for them, and the one who carries their reports."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.folder = Path(document["folder"])
        self.scans = read_scans(self.folder)
        self.gateway = urlsplit(document["gateway"])
        self.api = urlsplit(document["api"])
        self.token = os.environ.get("POINTSMAN_TOKEN", "")
        self.seed = int(document["seed"])
        self.apps = [App(**row) for row in document["apps"]]
        self.begun = time.monotonic()
        self.reported = self.report_failures = 0

    def run(self) -> None:
        """Visit and report until the parent ends this process."""
        for app in self.apps:
            for number in range(VISITORS_PER_APP):
                threading.Thread(target=self._visitor, args=(app, number), daemon=True).start()
        threading.Thread(target=self._reporter, daemon=True).start()
        for tick in itertools.count(1):
            time.sleep(max(0.0, self.begun + tick * TELL_EVERY_S - time.monotonic()))
            self._tell()

    def _visitor(self, app: App, number: int) -> None:
        rng = random.Random(f"{self.seed}/{app.name}/{number}")  # noqa: S311 - simulated people, not secrets
        activity = random.Random(f"{self.seed}/{app.name}/activity")  # noqa: S311 - the same for all visitors
        weights = list(itertools.accumulate(activity.lognormvariate(0, 1) for _ in range(PEOPLE)))
        people = range(PEOPLE)
        connection = self._connect(self.gateway)
        due = time.monotonic() + rng.random() * VISITORS_PER_APP / app.rate
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + rng.expovariate(app.rate / VISITORS_PER_APP), time.monotonic() - 1.0)
            person = f"{app.name}-{rng.choices(people, cum_weights=weights)[0]}"
            connection = self._visit(app, rng, person, connection)

    def _visit(self, app: App, rng: random.Random, person: str, connection: Any) -> Any:
        scans = rng.choices(self.scans, k=SCANS_PER_VISIT)
        body = infer_request(scans)
        begun = time.monotonic()
        try:
            connection.request(
                "POST", app.path, body, {"X-Person": person, "Content-Type": "application/json"}
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._failed(app, "?")
            return self._connect(self.gateway)
        latency_ms = (time.monotonic() - begun) * 1e3
        arm = response.getheader("Pointsman-Arm") or "?"
        if arm == app.treatment:
            app.rule.saw(response.status == 200, latency_ms)
        if response.status != 200:
            self._failed(app, arm)
            return connection
        digits = json.loads(content)["outputs"][0]["data"]
        self._judge(app, rng, arm, response.getheader("Pointsman-Decision"), scans, digits)
        return connection

    def _judge(
        self,
        app: App,
        rng: random.Random,
        arm: str,
        decision: str | None,
        scans: list[Scan],
        digits: list[int],
    ) -> None:
        wrong = [(scan, digit) for scan, digit in zip(scans, digits, strict=True) if scan.label != digit]
        with app.lock:
            seen = app.arms.setdefault(arm, ArmSeen())
            seen.visits += 1
            seen.scans += len(scans)
            seen.misread += len(wrong)
            for scan, digit in wrong:
                shown = app.misread.setdefault(arm, [])
                shown.append({"arm": arm, "index": scan.index, "answer": digit, "label": scan.label})
                del shown[:-MISREAD_SHOWN]
        if decision is None or arm == app.mute or rng.random() >= REPORTING_SHARE:
            return
        with app.lock:
            app.reports.append((time.monotonic() + rng.uniform(*THINKING_S), decision, int(bool(wrong))))
            app.ttest.saw(arm, int(bool(wrong)))

    def _failed(self, app: App, arm: str) -> None:
        with app.lock:
            seen = app.arms.setdefault(arm, ArmSeen())
            seen.visits += 1
            seen.failed += 1

    def _reporter(self) -> None:
        connection = self._connect(self.api)
        waiting: list[dict[str, Any]] = []
        while True:
            time.sleep(REPORT_EVERY_S)
            now = time.monotonic()
            for app in self.apps:
                with app.lock:
                    ready = [row for row in app.reports if row[0] <= now]
                    app.reports = [row for row in app.reports if row[0] > now]
                waiting += [{"decision": row[1], "metric": "corrected", "value": row[2]} for row in ready]
            if waiting and self._post(connection, waiting):
                waiting = []
            # An API that is away for long must not cost the people their memory.
            del waiting[:-5_000]

    def _post(self, connection: http.client.HTTPConnection, rows: list[dict[str, Any]]) -> bool:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request("POST", "/v1/outcomes", json.dumps(rows), headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.report_failures += 1
            return False
        self.reported += len(rows)
        return response.status == http.HTTPStatus.ACCEPTED

    def _connect(self, address: Any) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)

    def _tell(self) -> None:
        elapsed = time.monotonic() - self.begun
        line: dict[str, Any] = {"elapsed": elapsed, "reported": self.reported, "apps": {}}
        misread = {}
        for app in self.apps:
            with app.lock:
                app.rule.check(elapsed)
                app.ttest.look()
                line["apps"][app.name] = {
                    "arms": {
                        arm: {"visits": s.visits, "failed": s.failed, "scans": s.scans, "misread": s.misread}
                        for arm, s in app.arms.items()
                    },
                    "threshold_rule": app.rule.promoted_at,
                    "t_test_winners": app.ttest.winners,
                }
                misread[app.experiment] = [row for rows in app.misread.values() for row in rows]
        scratch = self.folder / "misread.json.new"
        scratch.write_text(json.dumps(misread))
        scratch.replace(self.folder / "misread.json")
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def infer_request(scans: list[Scan]) -> bytes:
    """An inference request of the Open Inference Protocol with one tensor of shape [n, 64]."""
    data = [pixel for scan in scans for pixel in scan.pixels]
    tensor = {"name": "scan", "shape": [len(scans), PIXELS], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


if __name__ == "__main__":
    Crowd(json.loads(sys.argv[1])).run()
