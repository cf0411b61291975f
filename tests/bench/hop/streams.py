"""Streams of events, each sent when the one before has arrived: a target that holds one back stops its stream."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from tests.bench.hop.loads import OK, Load
from tests.bench.hop.own_model import EVENT_END, OwnModel

HELD_S = 0.5  # an event is under way for some milliseconds when all streams are busy


class Streams(Load):
    """A closed loop of streams.

    Attributes:
        sent: when the event under way of each stream was sent.
        held: streams whose event had not arrived at the end.
    """

    def __init__(self, model: OwnModel, streams: int) -> None:
        super().__init__(streams, partial(Stream, model))
        self.sent: dict[int, float] = {}
        self.held = 0

    async def stop(self) -> None:
        now = time.monotonic()
        self.held = self.connections - sum(now - at < HELD_S for at in self.sent.values())
        self.wrong += self.held
        await super().stop()


class Stream(asyncio.Protocol):
    """A client of one stream."""

    def __init__(self, model: OwnModel, number: int, load: Load) -> None:
        assert isinstance(load, Streams)
        self.model = model
        self.number = number
        self.load = load
        self.began = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        head = b"GET /own/events/%d HTTP/1.1\r\nHost: model\r\nX-Person: p%d\r\n\r\n"
        transport.write(head % (self.number, self.number))

    def data_received(self, data: bytes) -> None:
        if not self.began:
            self.began = True
            if not data.startswith(OK):
                self.load.wrong += 1
                return
        elif EVENT_END in data:
            self.load.answered += 1
            self.load.wrong += data.count(EVENT_END) != 1
        else:
            return  # the frame of an event whose text comes with another read
        if self.load.on:
            self.load.sent[self.number] = time.monotonic()
            self.model.send_event(self.number)
        else:
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.load.on:
            self.load.wrong += 1
