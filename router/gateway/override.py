"""A file beside the gateway that overrides flags on this host, for the hour in which nobody can reach Redis.

``override.json`` in ``data_dir``: what to kill, and which arms are the default, with the reason. It is read within half
a second of being written and forgotten within half a second of being removed; it can only take traffic away from arms.
It never ends by itself: an arm that was taken away must not come back at night. It is above whatever Redis says.

Never here: a change that anybody else would see. The store is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from router.errors import Problem, SpecError, nearest
from router.flag import Flag

NAME = "override.json"
LARGEST = 64 << 10  # octets
MOST = 1_000  # routes and arms


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is overridden: routes or ``route/arm`` that are killed, and default arms by route."""

    reason: str
    kill: tuple[str, ...] = ()
    default: dict[str, str] = {}

    @property
    def routes(self) -> set[str]:
        """The routes that it is about."""
        return {name.partition("/")[0] for name in self.kill} | set(self.default)

    def applied(self, flag: Flag) -> Flag:
        """A flag as this host routes by it; what it has no arm for is left out, and told by ``problems``."""
        arms = {arm.name for arm in flag.arms}
        wanted = self.default.get(flag.route, flag.default)
        if wanted in arms:
            flag = flag.with_default(wanted)
        if flag.route in self.kill:
            flag = flag.with_kill(None, on=True)
        for name in self.kill:
            route, _, arm = name.partition("/")
            if route == flag.route and arm in arms and arm != flag.default:
                flag = flag.with_kill(arm, on=True)
        return flag

    def problems(self, flags: Mapping[str, Flag]) -> list[str]:
        """What of it cannot be done here, with the nearest known name."""
        return [str(problem) for problem in _problems(self, flags)]

    def document(self) -> dict[str, Any]:
        """As status and readiness show it."""
        return {"reason": self.reason, "kill": list(self.kill), "default": self.default}


def _problems(override: Override, flags: Mapping[str, Flag]) -> Iterable[Problem]:
    named = [("kill", *name.partition("/")[::2]) for name in override.kill]
    named += [("default", route, arm) for route, arm in override.default.items()]
    for where, route, arm in named:
        flag = flags.get(route)
        if flag is None:
            yield Problem(where, "a route of this gateway", repr(route), nearest(route, flags))
            continue
        arms = [one.name for one in flag.arms]
        if arm and arm not in arms:
            yield Problem(
                where, f"one of the arms {', '.join(arms)} of {route}", repr(arm), nearest(arm, arms)
            )
        elif where == "kill" and arm == override.default.get(route, flag.default):
            yield Problem(
                where,
                "an arm other than the default",
                repr(arm),
                f"kill {route} itself, or name another default",
            )


def read(data_dir: Path) -> Override | None:
    """The override of a folder; None without one.

    Raises:
        SpecError: it cannot be read, is too large, or says what is not known.
    """
    path = data_dir / NAME
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise SpecError([Problem("", "a readable file", str(problem), file=str(path))]) from problem
    if len(text) > LARGEST:
        raise SpecError([Problem("", f"at most {LARGEST} octets", "more", file=str(path))])
    try:
        override = msgspec.json.decode(text, type=Override)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        known = 'such as {"reason": "…", "kill": ["route/arm"], "default": {"route": "arm"}}'
        raise SpecError([Problem("", f"JSON {known}", str(problem), file=str(path))]) from problem
    if not override.reason.strip() or len(override.kill) + len(override.default) > MOST:
        raise SpecError([Problem("", f"a reason, and at most {MOST} routes and arms", "", file=str(path))])
    return override


class OverrideFile:
    """The file as last seen; a look costs one question to the file system."""

    def __init__(self, data_dir: Path) -> None:
        self.override: Override | None = None
        self.problem = ""
        self._folder = data_dir
        self._seen: tuple[int, ...] | None = None

    def look(self) -> bool:
        """Read the file if it is another one than before; whether the override is another one now.

        A file that cannot be read leaves what was overridden before.
        """
        try:
            stat = (self._folder / NAME).stat()
            seen: tuple[int, ...] | None = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return False
        self._seen, before = seen, self.override
        try:
            self.override, self.problem = read(self._folder), ""
        except SpecError as problem:
            self.problem = str(problem)
        return self.override != before
