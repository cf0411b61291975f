"""Whom a connection answers: what it asks of an exchange with a client, and of a copy that nobody waits for."""

from __future__ import annotations

from collections.abc import Iterable

from router.gateway.head import Head
from router.gateway.shape import Field, Shape


class Receiver:
    """One who gets an answer.

    Attributes:
        head: of the request.
        now_ns: when the turn of the loop began that something last came in; by the clock of ``perf_counter_ns``, since
            the loop's own one has whole milliseconds.
        ended: nothing more is wanted.
        request_sent: the upstream has the whole request.
    """

    ended: bool = False
    request_sent: bool = False

    def __init__(self, head: Head, now_ns: int) -> None:
        self.head = head
        self.now_ns = now_ns

    def informational(self, status: int, shape: Shape, values: tuple[bytes, ...]) -> None:
        """A 1xx answer before the answer."""
        raise NotImplementedError

    def answer_head(
        self, status: int, shape: Shape, values: tuple[bytes, ...], length: int | None, *, bodiless: bool
    ) -> None:
        """The head of the answer; ``length`` of its body when that was announced."""
        raise NotImplementedError

    def answer_body(self, data: bytes) -> None:
        """Octets of the answer's body."""
        raise NotImplementedError

    def answer_complete(self, trailers: Iterable[Field]) -> None:
        """The answer is whole."""
        raise NotImplementedError

    def upstream_failed(self, why: str) -> None:
        """The answer is none that can be passed on."""
        raise NotImplementedError

    def upstream_lost(self, *, began: bool) -> None:
        """The upstream closed before its answer was whole; ``began`` when octets of it had come."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what this turn has gathered."""
        raise NotImplementedError

    def pause_request(self) -> None:
        """The upstream takes no more of the request for now."""
        raise NotImplementedError

    def resume_request(self) -> None:
        """It has caught up."""
        raise NotImplementedError
