"""Does a request cost more when there are more routes in the snapshot?"""

from __future__ import annotations

from collections.abc import Iterator

from router.flag import Arm, Flag
from tests.bench.hop.loads import requests
from tests.bench.hop.rounds import ROUNDS, Figure, played, ratio
from tests.bench.hop.stage import Stage, route
from tests.gateway.flags import flag

COUNTS = (1, 100, 10_000)


def _routes(count: int, port: int) -> Iterator[Flag]:
    """The usual route, and others that are asked for by nobody."""
    yield route("web", "/v2", port)
    arms = tuple(Arm(name, f"http://127.0.0.1:{port}") for name in ("v1", "v2"))
    for number in range(1, count):
        yield flag(f"r{number}", f"/v2/models/m{number}", arms=arms)


def routes(stage: Stage) -> list[Figure]:
    """One route is asked for all the time; the others only stand in the snapshot."""
    targets = {
        f"{count:,} route{'s' * (count > 1)}": stage.gateway(f"r{count}", _routes(count, stage.model.port))
        for count in COUNTS
    }
    rows = played(targets, lambda target: stage.measured(target, requests(16)), 2 * ROUNDS)
    one, *more = targets
    return [ratio(rows, many, one) for many in more]
