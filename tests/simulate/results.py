"""Results: rows with their Monte-Carlo error and what was promised, kept as JSON beside this file."""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent / "results"
SURE = 3.0  # standard errors beyond a promise before it counts as missed


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number.

    Attributes:
        what: was measured.
        measured: the number.
        error: its Monte-Carlo standard error.
        promised: the target, None where a number is only shown.
        side: whether the promise is an upper or a lower limit.
        peers: what others were measured at, in words.
        column: in a table with several numbers a line, which of them.
    """

    what: str
    measured: float
    error: float
    promised: float | None = None
    side: Literal["most", "least"] = "most"
    peers: str = ""
    column: str = ""

    @property
    def missed(self) -> bool:
        """Whether the promise is broken by more than luck."""
        if self.promised is None:
            return False
        beyond = self.measured - self.promised if self.side == "most" else self.promised - self.measured
        return beyond > SURE * self.error


@dataclass(frozen=True, slots=True)
class Result:
    """What a study found.

    Attributes:
        name: of the study.
        title: one line.
        about: what was simulated and how, for the reader of the table.
        reps: replications.
        seed: it was run with.
        rows: the numbers.
        curves: courses for pictures: name to points.
        seconds: of one core.
    """

    name: str
    title: str
    about: str
    reps: int
    seed: int
    rows: list[Row]
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    seconds: float = 0.0


def rng_of(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one world: the same whatever else is run."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def rate(what: str, hits: npt.ArrayLike, promised: float | None = None, **more: Any) -> Row:
    """A share of replications. Its error is that of the promise when that is larger: 0 of 1,000 is not 0."""
    found = np.asarray(hits, bool)
    n, p = len(found), float(found.mean())
    spread = max(p * (1 - p), promised * (1 - promised) if promised is not None else 0.0)
    return Row(what, p, math.sqrt(spread / n), promised, **more)


def average(what: str, values: npt.ArrayLike, promised: float | None = None, **more: Any) -> Row:
    """A mean over replications."""
    found = np.asarray(values, float)
    return Row(what, float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found))), promised, **more)


def save(result: Result) -> None:
    """Keep a result."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{result.name}.json").write_text(
        json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n"
    )


def load(names: Iterable[str]) -> list[Result]:
    """The kept results, those that there are."""
    found = []
    for name in names:
        path = FOLDER / f"{name}.json"
        if path.exists():
            fields = json.loads(path.read_text())
            found.append(Result(**(fields | {"rows": [Row(**row) for row in fields["rows"]]})))
    return found


def timed(study: Callable[[int, int], Result], reps: int, seed: int) -> Result:
    """Run a study and note what it cost."""
    begun = time.process_time()
    result = study(reps, seed)
    return Result(
        **{
            **{name: getattr(result, name) for name in Result.__slots__},
            "seconds": round(time.process_time() - begun, 1),
        }
    )
