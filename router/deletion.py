"""A route taken away: what goes with it, spelled out before anything is done, and who still asks for it.

The deletion is a revision of the route's flag like any other change. Under the same name revisions and epochs go on from
there, so that nobody who held the route takes an older one for a newer one, and no run or salt is ever had twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from router.errors import Problem, SpecError
from router.flag import Flag
from router.run import FINAL


@dataclass(frozen=True, slots=True)
class Deletion:
    """What it would be to delete a route.

    Attributes:
        flag: as it stands.
        experiments: whose runs live on it, and are rolled back first.
        removes: what is taken away, a line each.
    """

    flag: Flag
    experiments: tuple[str, ...]
    removes: tuple[str, ...]

    def text(self) -> str:
        """The plan as people read it."""
        back = f"'pointsman rollback-flag {self.flag.route} --to {self.flag.revision}' brings it back"
        return "\n".join([*(f"- {line} is removed" for line in self.removes), back])


def deletion(route: str, flags: Mapping[str, Flag], runs: Mapping[str, Mapping[str, Any]]) -> Deletion:
    """Plan to delete a route.

    Raises:
        SpecError: another route asks for it.
        KeyError: there is no such route.
    """
    flag = flags[route]
    asking = [name for name, one in sorted(flags.items()) for need in one.requires if need.route == route]
    if asking:
        expected, hint = f"a route that no other one requires, to delete {route}", "change those routes first"
        raise SpecError([Problem(f"routes.{name}.requires", expected, route, hint) for name in asking])
    living = [run for run in runs.values() if run["route"] == route and run["state"] not in FINAL]
    removes = [f"route {route} at revision {flag.revision}: {_served(flag)}"]
    removes += [f"arm {arm.name}" + (f" ({arm.upstream})" if arm.upstream else "") for arm in flag.arms]
    removes += [f"run {run['run']}, {run['state']}, with all that it would still learn," for run in living]
    return Deletion(flag, tuple(sorted(run["experiment"] for run in living)), tuple(removes))


def _served(flag: Flag) -> str:
    if flag.match is None:
        return "who asks for it is answered FLAG_NOT_FOUND, and it"
    host = f" of {flag.match.host}" if flag.match.host else ""
    return f"requests at {flag.match.path}{host} go to another route, or are answered 404, and it"


def deleted(flag: Flag) -> Flag:
    """The flag as it is kept under the revision of its deletion; no run is on it any more."""
    return msgspec.structs.replace(flag, experiments=(), revision=flag.revision + 1)


def begun_again(wanted: Flag, gone: Flag | None) -> Flag:
    """A new route's flag; where one of its name was deleted, its counts go on."""
    if gone is None:
        return wanted.with_revision(1)
    return msgspec.structs.replace(wanted, revision=gone.revision + 1, epoch=gone.epoch)
