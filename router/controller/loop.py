"""The loop: one leader, one tick after another; the only clock of decisions.

A tick renews the lease, folds what has arrived for each live run, looks at most once per ``look_ms``, and writes what
was decided with the fencing token. Whatever fails is dropped whole and read anew at the next tick; a run that fails
stops no other.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from router.controller.archive import Archive
from router.controller.fold import Fold
from router.controller.look import health_of, look
from router.controller.schedules import due
from router.errors import Fenced, PointsmanError, SpecError, StaleRevision, StoreUnavailable
from router.flag import Flag
from router.identity import misidentified
from router.lifecycle import FINAL
from router.local.parent import die_with_parent
from router.settings import Settings
from router.store.connect import connect
from router.store.flags import FlagStore
from router.store.keys import Keys
from router.store.lease import Lease
from router.store.ledger import Ledger
from router.store.stored import Live

TICK_S = 0.1
FOLD_BATCHES_PER_TICK = 50
ARCHIVE_EVERY_MS = 2000
ARCHIVE_BATCHES_PER_TICK = 10
HEARTBEAT_EVERY_MS = 1000

log = logging.getLogger("pointsman.controller")


def now_ms() -> int:
    """Wall-clock time in whole milliseconds."""
    return time.time_ns() // 1_000_000


class Controller:
    """One controller; it acts only while it holds the lease."""

    def __init__(self, client: redis.Redis, settings: Settings, clock: Callable[[], int] = now_ms) -> None:
        keys = Keys(settings.prefix)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.settings = settings
        self.store = FlagStore(client, keys)
        self.lease = Lease(client, keys, self.owner, settings.lease_ms, clock)
        self.token: int | None = None
        self._client = client
        self._keys = keys
        self._clock = clock
        self._folds: dict[str, Fold] = {}
        self._archives: dict[str, Archive] = {}
        self._troubles: dict[str, str] = {}
        self._archived: dict[str, int] = {}
        self._beat = 0
        self._renewed = 0

    def tick(self) -> bool:
        """One pass over all live runs; False when another controller leads.

        Raises:
            StoreUnavailable: Redis gave no good answer; everything is read anew at the next tick.
        """
        try:
            token = self._lead()
            if token is None:
                return False
            self._heartbeat()
            for route in self.store.lift(self._renewed, token):
                log.warning(
                    "%s: gateways route by a revision that the store has lost; written anew above it", route
                )
            live = self.store.live()
            self._keep_schedules(live.flags, token)
            for name, run in live.runs.items():
                self._hold_on(token)
                self._apart(name, run, live, token)
        except Fenced as problem:
            log.warning("%s", problem)
            return False
        except StoreUnavailable:
            self._folds.clear()
            raise
        return True

    def _lead(self) -> int | None:
        """Take or renew the lease; under a new token every partition is stamped and read anew."""
        token = self.lease.acquire()
        if token != self.token:
            self._folds.clear()
        self.token, self._renewed = token, self._clock()
        return token

    def _hold_on(self, token: int) -> None:
        """Renew the lease once a third of it has gone, so that long work does not outlast it.

        Raises:
            Fenced: it went on to another, or came back under a new token.
        """
        if self._clock() - self._renewed >= self.settings.lease_ms // 3 and self._lead() != token:
            raise Fenced("the lease ended; another controller may lead")

    def _apart(self, name: str, run: dict[str, Any], live: Live, token: int) -> None:
        """One run's trouble stops no other run; what it left half done is forgotten and read anew at the next tick."""
        try:
            flag = live.flags.get(run["route"])
            if run["state"] in FINAL or flag is None:
                self._over(name)
            else:
                self._run(run, flag, token)
        except Exception as problem:
            self._folds.pop(name, None)
            if self._troubles.get(name) != str(problem):  # said once, not at every tick
                known = isinstance(problem, PointsmanError)
                log.error("run %s: %s", name, problem, exc_info=None if known else problem)
            self._troubles[name] = str(problem)
        else:
            self._troubles.pop(name, None)

    def _keep_schedules(self, flags: dict[str, Flag], token: int) -> None:
        """Flags whose schedule has passed an edge get a revision of their own."""
        for change in due(flags.values(), self._renewed):
            try:
                self.store.commit(replace(change, token=token))
            except StaleRevision as problem:
                log.info("somebody was faster: %s", problem)
                continue
            except SpecError as problem:  # one flag's trouble stops no run
                log.error("schedule: %s", problem)
                continue
            if change.flag is not None:
                flags[change.flag.route] = change.flag
                log.info("%s: %s", change.flag.route, change.audit["reason"])

    def _run(self, run: dict[str, Any], flag: Flag, token: int) -> None:
        fold = self._folds.get(run["run"])
        if fold is None:
            ledger = Ledger(self._client, self._keys, run["run"])
            fold = self._folds[run["run"]] = Fold(ledger, run, token)
        fold.learn(run)
        settings = self.settings
        for _ in range(FOLD_BATCHES_PER_TICK):
            if not fold.advance(self._clock(), settings.writer_silence_ms, settings.gap_wait_ms):
                break
            self._hold_on(token)
        now = self._clock()
        last = (run["look"] or {}).get("time", 0)
        if now - last >= settings.look_ms:
            self._look(run, flag, fold, token, now)
        if now - self._archived.get(run["run"], 0) >= ARCHIVE_EVERY_MS and self._archive(run["run"], fold):
            self._archived[run["run"]] = now

    def _look(self, run: dict[str, Any], flag: Flag, fold: Fold, token: int, now: int) -> None:
        health = health_of(fold, now, self.settings.lag_limit_ms, self.settings.writer_silence_ms)
        health = replace(health, misidentified=_misidentified(run, flag, fold))
        decision, change = look(run, flag, fold, health, now, ready=self._ready(run, flag, now))
        try:
            self.store.commit(type(change)(change.audit, change.flag, change.run, change.files, token=token))
        except StaleRevision as problem:
            log.info("somebody was faster: %s", problem)  # the next tick reads what they wrote
            return
        if change.audit:
            log.info("%s", decision.sentence)

    def _ready(self, run: dict[str, Any], flag: Flag, now: int) -> bool:
        """Every live gateway has seen the treatment's endpoints ready; an arm without upstream has none."""
        if not any(arm.upstream for arm in flag.arms if arm.name == run["treatment"]):
            return True
        beats = [beat for beat in self.store.heartbeats(now) if beat.get("role") == "gateway"]
        name = f"{run['route']}/{run['treatment']}"
        return bool(beats) and all(beat.get("ready", {}).get(name) for beat in beats)

    def _archive(self, run: str, fold: Fold) -> bool:
        """Archive and trim what is folded, up to a bound; returns whether all of it is done or nothing can be done."""
        try:
            archive = self._archives.get(run)
            if archive is None:
                archive = self._archives[run] = Archive(Path(self.settings.data_dir) / "archive", run)
            return not all(archive.advance(fold.ledger, fold.cursor) for _ in range(ARCHIVE_BATCHES_PER_TICK))
        except OSError as problem:
            log.warning("archive: %s; nothing is trimmed", problem)
            return True

    def _over(self, run: str) -> None:
        """A run that has ended is folded no more; the archive still takes what its last look has read."""
        fold = self._folds.get(run)
        if fold is not None and self._archive(run, fold):
            for table in (self._folds, self._archives, self._archived, self._troubles):
                table.pop(run, None)

    def _heartbeat(self) -> None:
        now = self._clock()
        if now - self._beat >= HEARTBEAT_EVERY_MS:
            self._beat = now
            self.store.heartbeat(
                self.owner, {"role": "controller", "writer": self.owner, "time": now, "token": self.token}
            )


def _misidentified(run: dict[str, Any], flag: Flag, fold: Fold) -> tuple[str, ...]:
    """What the arms' answers called themselves, weighed."""
    arms = {arm.name: arm for arm in flag.arms}
    control, treatment = arms.get(run["control"]), arms.get(run["treatment"])
    return misidentified(run, control, treatment, fold.state.seen) if control and treatment else ()


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        PointsmanError: the settings name no Redis.
    """
    if os.environ.get("POINTSMAN_PARENT"):
        die_with_parent()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    if not settings.redis_url:
        raise PointsmanError("the controller needs a Redis: set REDIS_URL, or use 'pointsman up'")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    controller = Controller(connect(settings.redis_url, settings.store_timeout_ms), settings)
    while not stop.is_set():
        try:
            controller.tick()
        except StoreUnavailable as problem:
            log.warning("%s", problem)
        except Exception:  # the last door of the loop: logged, and the next tick reads everything anew
            log.exception("a tick failed")
        stop.wait(TICK_S)
    if controller.token is not None:
        try:
            controller.lease.release()
        except StoreUnavailable:
            log.warning("the lease was not given back; it ends by itself")
