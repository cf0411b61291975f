"""Which servers are asked whether they are ready: those of arms in use, each once, pools by their endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.flag import Arm
from router.gateway.servers import Servers
from router.serving import PoolLimits

POOL = PoolLimits(endpoints=("http://h:2", "http://h:3"), requests=5)


class Watched(list[str]):
    """The addresses in use."""

    def watch(self, address: str) -> None:
        self.append(address)

    def forget(self, address: str) -> None:
        self.remove(address)


class Pool:
    def __init__(self, url: str, limits: PoolLimits | None = None) -> None:
        self.limits = limits
        self.closed = False
        self.ready: list[dict[str, bool]] = []

    def heard(self, ready: dict[str, bool]) -> None:
        self.ready.append(ready)

    def close(self) -> None:
        self.closed = True


def servers(make: Callable[..., Any] = Pool) -> tuple[Servers, Watched]:
    watched = Watched()
    return Servers(make, watched), watched


def test_a_pool_is_watched_by_its_endpoints_each_once() -> None:
    made, watched = servers()
    pooled, plain = Arm("v1", "http://h:1/x", pool=POOL), Arm("v2", "http://h:3/y")
    made.swapped([pooled, plain], [])
    assert sorted(watched) == ["http://h:2", "http://h:3"]
    made.swapped([], [plain])
    assert sorted(watched) == ["http://h:2", "http://h:3"]
    made.swapped([], [pooled])
    assert watched == []


def test_other_limits_are_another_pool_and_the_old_one_is_closed_in_every_use() -> None:
    made, _ = servers()
    one, other = Arm("v1", "http://h:1"), Arm("v1", "http://h:1", pool=POOL)
    old = [made.upstream(one), made.upstream(one, "shadow")]
    made.swapped([one], [])
    new = made.upstream(other)
    made.swapped([other], [one])
    assert [pool.closed for pool in (*old, new)] == [True, True, False]
    assert made.upstream(other) is new


def test_only_pools_hear_what_the_probes_know() -> None:
    made, _ = servers()
    plain, pooled = made.upstream(Arm("v1", "http://h:1")), made.upstream(Arm("v2", "http://h:1", pool=POOL))
    made.heard({"http://h:2": True})
    assert (plain.ready, pooled.ready) == ([], [{"http://h:2": True}])


def test_an_arm_without_an_address_has_no_upstream() -> None:
    made, watched = servers()
    assert made.upstream(Arm("v1", "")) is None
    assert watched == []
