"""Small steps of a request, by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from router.decision_id import Signer
from router.gateway.identify import json_reader
from tests.bench.hop.rounds import Figure
from tests.bench.hop.stage import Stage

CALLS = 500
BLOCKS = 60


def _best(step: Callable[[], object]) -> Figure:
    """Microseconds of a call: the best block, since noise only adds."""
    blocks = []
    for _ in range(BLOCKS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            step()
        blocks.append((time.perf_counter() - begun) / CALLS * 1e6)
    return Figure(min(blocks), note=f"the best of {BLOCKS} times {CALLS} calls")


def _chat(octets: int) -> dict[str, Any]:
    """Messages of a few hundred octets."""
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "word " * 80} for _ in range(octets // 430)],
    }


def _tensor(octets: int) -> dict[str, Any]:
    """Numbers with six decimals, which are dearer to skip than text is."""
    data = [1.234567 + number % 8 for number in range(octets // 10)]
    return {"inputs": [{"name": "x", "shape": [1, len(data)], "datatype": "FP32", "data": data}]}


def small_steps(stage: Stage) -> list[Figure]:
    """The unit out of a body by its JSON pointer, which stands last; a decision id, signed."""
    read, signer = json_reader("/parameters/user"), Signer({1: b"k" * 32})
    figures = []
    for made in (_chat(1_000), _chat(20_000), _tensor(20_000)):
        body = json.dumps({**made, "parameters": {"user": "person-1234"}}).encode()
        assert read(body) == b"person-1234"
        figures.append(_best(partial(read, body)))
    figures.append(_best(lambda: signer.sign(b"better.1", 1, 1, 1, True, 7, 1_764_000_000_000, 9)))
    return figures
