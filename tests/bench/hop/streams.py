"""Streams of events, each sent when the one before has arrived: a target that holds one back stops its stream."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from tests.bench.hop.loads import OK, Load
from tests.bench.hop.own_model import EVENT_END, OwnModel

HELD_S = 10.0  # whatever else the machine does: an event that waits for the next one never comes


class Streams(Load):
    """A closed loop of streams.

    Attributes:
        open: streams that wait for an event.
        held: of them those whose event has not come at the end, when none is sent behind it.
    """

    def __init__(self, model: OwnModel, streams: int) -> None:
        super().__init__(streams, partial(Stream, model))
        self.open = streams
        self.held = 0

    async def stop(self) -> None:
        self.on = False
        until = time.monotonic() + HELD_S
        while self.open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        self.held = self.open
        self.wrong += self.held


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
            self.model.send_event(self.number)
        else:
            self.load.open -= 1
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.load.on:
            self.load.wrong += 1
