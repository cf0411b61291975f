"""One controller at a time: a lease that ends by itself, and a fencing token that grows with each new leader."""

from __future__ import annotations

from collections.abc import Callable

import redis

from router.store.keys import Keys
from router.store.scripts import Script


class Lease:
    """The lease as one would-be leader sees it."""

    def __init__(
        self, client: redis.Redis, keys: Keys, owner: str, ttl_ms: int, now: Callable[[], int]
    ) -> None:
        self.owner = owner
        self._keys = keys
        self._ttl_ms = ttl_ms
        self._now = now
        self._take = Script(client, "lease")
        self._release = Script(client, "release")

    def acquire(self) -> int | None:
        """Take or renew it: the fencing token, or None while another leads."""
        token = int(self._take([self._keys.lease, self._keys.token], [self.owner, self._ttl_ms, self._now()]))
        return token or None

    def release(self) -> None:
        """Give it back, so that the next leader need not wait."""
        self._release([self._keys.lease], [self.owner])
