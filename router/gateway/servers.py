"""The upstreams that routes use: one for all arms on one server with the same limits, so that pools outlive a change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from router.errors import Problem, SpecError
from router.flag import Arm
from router.gateway.probes import address_of, servers_of
from router.serving import PoolLimits

Place = tuple[str, PoolLimits | None]  # an address, and how much of what stands there is used
Used = TypeVar("Used", str, Place)


class Watcher(Protocol):
    """Who wants to know which addresses are in use."""

    def watch(self, address: str) -> None:
        """An address is in use from now on."""

    def forget(self, address: str) -> None:
        """An address is in use no more."""


class Servers:
    """Upstreams by their place and use."""

    def __init__(self, make_upstream: Callable[..., Any], probes: Watcher | None) -> None:
        self._make = make_upstream
        self._probes = probes
        self._upstreams: dict[Place, dict[str, Any]] = {}
        self._pools: set[Place] = set()  # places of several servers, or with limits
        self._users: Counter[Place] = Counter()
        self._watched: Counter[str] = Counter()

    def upstream(self, arm: Arm, use: str = "") -> Any:
        """The upstream of an arm, for one use; None for an arm without an address.

        Raises:
            SpecError: its address is none.
        """
        if not arm.upstream:
            return None
        try:
            place = _place(arm)
            uses = self._upstreams.get(place, {})
            if use not in uses:
                uses[use] = self._make(place[0]) if arm.pool is None else self._make(*place)
        except ValueError as problem:
            raise SpecError(
                [Problem("arms.upstream", "an address such as http://host:port", str(problem))]
            ) from None
        self._upstreams[place] = uses
        if arm.pool is not None:
            self._pools.add(place)
        return uses[use]

    def heard(self, ready: dict[str, bool]) -> None:
        """Tell the pools what the probes know of their servers."""
        for place in self._pools:
            for upstream in self._upstreams[place].values():
                upstream.heard(ready)

    def swapped(self, come: list[Arm], left: list[Arm]) -> None:
        """These arms are in use from now on and those no longer; pools that nobody uses are closed."""
        if come == left:  # most changes leave all arms where they are
            return
        for place in _counted(self._users, map(_place, come), map(_place, left))[1]:
            self._pools.discard(place)
            for upstream in self._upstreams.pop(place, {}).values():
                upstream.close()
        began, ended = _counted(self._watched, _addresses(come), _addresses(left))
        if self._probes is not None:
            for address in began:
                self._probes.watch(address)
            for address in ended:
                self._probes.forget(address)


def _place(arm: Arm) -> Place:
    return address_of(arm.upstream), arm.pool


def _addresses(arms: Iterable[Arm]) -> Iterator[str]:
    return (address_of(url) for arm in arms for url in servers_of(arm))


def _counted(
    users: Counter[Used], come: Iterable[Used], left: Iterable[Used]
) -> tuple[list[Used], list[Used]]:
    """Count who uses what from now on; what is used for the first time, and what by nobody any more."""
    ins, outs = Counter(come), Counter(left)
    began = [one for one in ins if one not in users]
    users.update(ins)
    users.subtract(outs)
    ended = [one for one in outs if users[one] <= 0]
    for one in ended:
        del users[one]
    return began, ended
