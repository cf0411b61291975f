"""The first half of an exchange: the request, from the gate's word to the upstream's connection.

A body streams through. It is held only where somebody needs it whole: the gate, to find the unit in it, or the arm, to
set values in it; and a small one is kept until the answer begins, so that it can be sent once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from router.gateway.fields import chunk, last_chunk, request_head
from router.gateway.head import Head
from router.gateway.observing import BINARY_LENGTH, Observer
from router.gateway.receiver import Receiver
from router.gateway.shape import Field
from router.gateway.ticket import Ticket
from router.gateway.upstream import NoRoomError

if TYPE_CHECKING:
    from router.gateway.client import Client
    from router.gateway.connection import Connection
    from router.gateway.setting import Edit

MS: Final = 1_000_000  # ns
REPLAY_MOST: Final = 65_536  # octets of a request body kept for a repetition


class Sending(Receiver):
    """A request on its way to an upstream.

    Attributes:
        answered: the head of an answer has left.
        until_close: only the end of the connection ends the answer.
        last: the client was told that the connection closes behind the answer.
    """

    ticket: Ticket
    answered: bool = False
    until_close: bool = False
    last: bool = False
    request_complete: bool = False
    _deadline: int = 0  # ns; 0 for none, as the next
    _total_deadline: int = 0
    _connection: Connection | None = None
    _dialing: asyncio.Task[None] | None = None
    _fresh: bool = False
    _held_octets: int = 0
    _hold_most: int = 0  # octets that are held before anything is done; 0 when none are
    _replayable: bool = True
    _trailers: Sequence[Field] = ()
    _wants_continue: bool = False
    _asked_continue: int = 0
    _answer_chunked: bool = False
    _observer: Observer | None = None
    _status: int = 0

    def __init__(self, client: Client, head: Head) -> None:
        super().__init__(head, client.now_ns)
        client.turn.open_requests += 1
        self.client: Client = client
        self._begun_ns = self._moved_ns = client.now_ns
        self._held: list[bytes] = []
        self._send: list[bytes] = []
        self._out: list[bytes] = []
        if head.has_body:
            self._wants_continue = head.expects
        else:
            self.request_complete = True

    def refuse(self, status: int, code: str, message: str) -> None:
        """The gate does not pass this request on."""
        raise NotImplementedError

    def reply(self, lines: bytes, body: bytes) -> None:
        """The gate answers by itself."""
        raise NotImplementedError

    def fail(self, outcome: str) -> None:
        """This attempt gave no answer."""
        raise NotImplementedError

    def start(self) -> None:
        """Ask the gate; hold the body first if it wants to see it."""
        self.ticket = self.client.gate.route(self.head, None)
        needs: int = self.ticket.needs_body
        if not needs:
            self._decided()
        elif self.request_complete:
            self._route_again(b"")
        else:
            self._hold_most = needs
            self._continue()

    def _route_again(self, body: bytes) -> None:
        self._hold_most = 0
        self.ticket = self.client.gate.route(self.head, body)
        self._decided()

    def _decided(self) -> None:
        ticket = self.ticket
        if ticket.refusal is not None:
            self.refuse(*ticket.refusal)
            return
        if ticket.reply is not None:
            self.reply(*ticket.reply)
            return
        self._total_deadline = self._begun_ns + ticket.total_ms * MS
        self._attempt()

    def _attempt(self) -> None:
        """Send the request to where the ticket says now."""
        ticket = self.ticket
        if ticket.blocked:
            self.fail("circuit_open")
            return
        if ticket.edit is not None and not self._may_edit(ticket.edit):
            return
        connection = None if self._fresh else ticket.upstream.take(self._moved_ns)
        if connection is None:
            self._dial()
        else:
            self._connected(connection)

    def _may_edit(self, edit: Edit) -> bool:
        """Whether what the edit needs is here; the client's own deadline begins to count."""
        waits = edit.waits_ms(self.head)
        if waits is not None:
            self._total_deadline = min(self._total_deadline, self._begun_ns + waits * MS)
        return not (edit.changes_body and self.head.has_body) or self._whole()

    def _whole(self) -> bool:
        """Whether the body is here to be changed; if not it is awaited, or too much."""
        limit, head = self.client.limits.hold, self.head
        if (head.length or 0) > limit or self._held_octets > limit or b"content-encoding" in head.shape.at:
            self.fail("not_set")
            return False
        if not self.request_complete:
            self._hold_most = limit
            self._continue()
        return self.request_complete

    def _continue(self) -> None:
        """Let the client send its body, if it waits for that."""
        if self._wants_continue:
            self._wants_continue = False
            self.client.say_continue()

    def body(self, data: bytes) -> None:
        """Octets of the request's body."""
        if self.ended:
            return
        self._wants_continue = False
        self._moved_ns = self.client.now_ns
        if self._hold_most or self._replayable or self._connection is None:
            self._held.append(data)
            self._held_octets += len(data)
            if self._hold_most:
                if self._held_octets > self._hold_most:
                    self._held_too_much()
                return
            if self._held_octets > REPLAY_MOST:
                self._kept_enough()
        if self._connection is not None:
            self._send.append(chunk(data) if self.head.chunked else data)

    def _held_too_much(self) -> None:
        if self.ticket.needs_body:
            self._route_again(b"")
        else:
            self._hold_most = 0
            self.fail("not_set")

    def _kept_enough(self) -> None:
        """A small body is kept for a repetition, and any body until there is a connection; no more of it for now."""
        self._replayable = False
        if self._connection is not None:
            self._held.clear()
        else:
            self.client.pause()

    def body_complete(self, trailers: Sequence[Field]) -> None:
        """The request is whole."""
        self.request_complete = True
        if self.ended:
            return
        self._trailers = trailers
        if self._hold_most:
            if self.ticket.needs_body:
                self._route_again(b"".join(self._held))
            else:
                self._hold_most = 0
                self._attempt()
        elif self._connection is not None and not self.request_sent:
            if self.head.chunked:
                self._send.append(last_chunk(trailers))
            self._sent()

    def _sent(self) -> None:
        """The upstream has the whole request; the clock of its first byte starts."""
        self.request_sent = True
        if not self.answered:
            self._deadline = self._moved_ns + self.ticket.first_byte_ms * MS

    def _dial(self) -> None:
        self._fresh = True
        self._dialing = self.client.loop.create_task(self._dialed())

    async def _dialed(self) -> None:
        try:
            connection = await self.ticket.upstream.dial(self.client.limits.connect_s)
        except (TimeoutError, OSError, NoRoomError) as problem:
            self._dialing = None
            self.fail("no_room" if isinstance(problem, NoRoomError) else "connect_failed")
            self.flush()
            return
        self._dialing = None
        self._moved_ns = perf_counter_ns()
        if self.ended:
            connection.transport.abort()
            return
        self._connected(connection)
        self.flush()

    def _connected(self, connection: Connection) -> None:
        """Send the head, and what is here of the body."""
        self._connection = connection
        connection.begin(self)
        head, ticket, held = self.head, self.ticket, self._held
        chunked = head.chunked
        if ticket.edit is not None:
            self._send_edited(ticket.edit)
            chunked = chunked and not ticket.edit.changes_body
        else:
            expects = self._wants_continue and not held
            if expects:
                self._asked_continue = perf_counter_ns()
            self._send.append(request_head(head, ticket.target, self.client.peer, expects=expects))
            self._send += [chunk(data) for data in held] if chunked else held
        if self.request_complete:
            if chunked:
                self._send.append(last_chunk(self._trailers))
            self._sent()
        if self._held_octets > REPLAY_MOST:
            self._replayable = False
            self._held = []
        if self.client.paused:
            self.client.resume()

    def _send_edited(self, edit: Edit) -> None:
        """The request with what its arm sets."""
        head, held = self.head, self._held
        lines, length = edit.lines, None
        if edit.deadline:
            left_ms = max(0, self._total_deadline - perf_counter_ns()) // MS
            lines += b"%b: %d\r\n" % (edit.deadline, left_ms)
        self.ticket.asked_model = edit.asked_model(head, b"".join(held))
        if edit.changes_body and head.has_body:
            body, more = edit.body(b"".join(held), head.field(BINARY_LENGTH))
            held, lines, length = [body], lines + more, len(body)
        elif head.chunked:
            held = [chunk(data) for data in held]
        peer, target = self.client.peer, self.ticket.target
        self._send.append(request_head(head, target, peer, drops=edit.drops, lines=lines, length=length))
        self._send += held

    def held_body(self) -> bytes | None:
        """The whole body, where it is held for a repetition; None when it is not."""
        whole = self.request_complete and self._replayable
        return b"".join(self._held) if whole else None

    def once_more(self) -> None:
        """Another attempt, from the beginning, to where the ticket says now."""
        self.client.counts.retries += 1
        self._send.clear()
        self._connection = None
        self.request_sent = False
        self._deadline = 0
        self._moved_ns = perf_counter_ns()
        self._attempt()

    def drop_upstream(self) -> None:
        """Cancel what the upstream is doing."""
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()
