"""Taking a route away: the plan, then the runs on it where that was asked for, then the flag, each one compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.api.apply import audit_entry, hold_to
from router.api.experiments import do, flag_of
from router.api.plane import Plane
from router.deletion import deleted, deletion
from router.errors import Refused, StaleRevision
from router.store.flags import Change


def take_away(
    here: Plane,
    name: str,
    expected: Mapping[str, int],
    actor: str,
    reason: str,
    *,
    dry: bool,
    end_runs: bool,
) -> dict[str, Any]:
    """Plan to delete a route, and unless it is a dry run, do it.

    Raises:
        UnknownName: there is no such route.
        StaleRevision: it is not at its expected revision, or moved meanwhile.
        SpecError: another route requires it.
        Refused: a run lives on it.
    """
    live = here.store.live()
    hold_to(live, expected, here)
    if name not in live.flags:
        flag_of(here, name)  # says that there is none
    planned = deletion(name, live.flags, live.runs)
    revision = planned.flag.revision
    if not dry:
        if planned.experiments and not end_runs:
            lives = ", ".join(planned.experiments)
            raise Refused(
                "run_lives", f"route {name}: {lives} runs on it - --end-runs rolls it back first", 409
            )
        for experiment in planned.experiments:
            revision = do(here, experiment, "rollback", actor, reason)["revision"]
        revision = _delete(here, name, revision, actor, reason)
    return {
        "route": name,
        "revision": revision,
        "deleted": not dry,
        "removes": list(planned.removes),
        "ends": list(planned.experiments),
        "text": planned.text(),
    }


def _delete(here: Plane, name: str, expected: int, actor: str, reason: str) -> int:
    flag = flag_of(here, name)
    if flag.revision != expected:
        raise StaleRevision(f"flag {name}", expected, flag.revision)
    gone = deleted(flag)
    entry = audit_entry(here, actor, "delete", reason, name, None, old=flag) | {"revision": gone.revision}
    here.store.commit(Change(entry, gone, deletes=True))
    here.counts.acts.labels("delete").inc()
    return gone.revision
