"""What a route says about serving beyond which arm: how its answers are read. As gateways read it.

People write it in route files (``serving_keys``); here are the frozen values inside a flag.
"""

from __future__ import annotations

import msgspec

FIXED = 1_000_000  # prices, as all values of outcomes, are whole numbers of 10^-6


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens read and written cost, in 10^-6 of a currency's unit."""

    tokens_in: int
    tokens_out: int

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """What an answer cost, in the currency's unit; None when it says nothing of its tokens."""
        if tokens_in is None and tokens_out is None:
            return None
        return ((tokens_in or 0) * self.tokens_in + (tokens_out or 0) * self.tokens_out) / FIXED / FIXED


class PoolLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An arm's servers and how much of them a worker uses at a time; 0 for no bound.

    Attributes:
        endpoints: their addresses; empty for those of the arm's upstream.
        requests: under way at all of them.
        connections: to each of them.
        queue: requests that wait for room.
        queue_ms: how long they do.
    """

    endpoints: tuple[str, ...] = ()
    requests: int = 0
    connections: int = 0
    queue: int = 0
    queue_ms: int = 0


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How two answers are compared: at these JSON pointers, or as a whole; numbers may differ by the tolerance."""

    fields: tuple[str, ...] = ()
    tolerance: float = 0.0


class Shadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests are copied to which arm.

    Attributes:
        share: in ppm of the requests that other arms answered.
        methods: whose requests may be copied.
        compare: None when the answers are not compared.
    """

    arm: str
    share: int
    methods: tuple[str, ...]
    compare: Comparison | None = None


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route's wishes; the default is a plain route.

    Attributes:
        restore_model: answers name the model that the client asked for, where an arm sets another one.
        deadline: field of a request that says how many ms its client waits; empty for none.
        cost: field of an answer that says what it cost; empty for none.
        outcomes: metric and JSON pointer of values in small answers.
        shadow: which requests are copied to another arm; None for none.
        ask_versions: servers are asked for the versions of their models; absent from the stored form of all others.
    """

    restore_model: bool = False
    deadline: str = ""
    cost: str = ""
    outcomes: tuple[tuple[str, str], ...] = ()
    shadow: Shadow | None = None
    ask_versions: bool | msgspec.UnsetType = msgspec.UNSET
