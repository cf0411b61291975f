"""What the demo's terminal shows: the plan, what is shortened, a live table, each decision as one sentence.

On a terminal the table is redrawn in place; anywhere else a line is printed every few seconds, so that a log of the
demo reads like a log.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from router.cli.render import difference, number, share
from router.demo.story import SHORTENED, Cast, Scenario

PLAIN_EVERY_S = 5.0
INDENT = "      "


def plan_lines(scenario: Scenario, addresses: Mapping[str, str], folder: str) -> list[str]:
    """The story; then what starts, where, what leaves this machine, and how to stop."""
    return [
        f"Pointsman's demo: {scenario.tells}",
        "",
        "starts   Redis (unix socket), gateway, API with dashboard, controller, three model servers",
        f"ports    gateway {addresses['gateway']}, API {addresses['api']}, models {addresses['models']}",
        f"leaves   nothing leaves this machine; all it writes is in {folder}",
        "stops    Ctrl-C stops everything within 3 s",
    ]


def shortened_lines() -> list[str]:
    """Each default that the demo shortens, beside its production value."""
    return [f"demo     {what}: {here} (in production {there})" for what, here, there in SHORTENED]


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Screen:
    """The terminal: a log of sentences, and below it a table that is always current."""

    def __init__(self, *, plain: bool) -> None:
        self._live: Any = None
        self._last_plain = -PLAIN_EVERY_S
        if not plain and sys.stdout.isatty():
            # rich costs 50 ms to import: only where a person looks.
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()

    def say(self, text: str = "") -> None:
        """One sentence that stays."""
        if self._live is not None:
            width = self._live.console.width
            lines = textwrap.wrap(text, width, subsequent_indent=INDENT, break_on_hyphens=False) or [""]
            for line in lines:
                self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def show(self, elapsed: float, rows: Sequence[Sequence[str]]) -> None:
        """The present state of all apps."""
        if self._live is not None:
            narrow = self._live.console.width < WIDE
            self._live.update(_table(elapsed, rows, NARROW if narrow else HEAD), refresh=True)
        elif elapsed - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = elapsed
            for row in rows:
                cells = zip(HEAD, row, strict=True)
                self.say(f"{clock(elapsed)}  " + "  ".join(f"{name} {cell}" for name, cell in cells))

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


WIDE = 110  # columns that all of the table needs
HEAD = ("experiment", "state", "share", "visits", "failed", "units", "corrected", "estimate", "interval")


NARROW = ("experiment", "state", "share", "failed", "units", "corrected")


def _table(elapsed: float, rows: Sequence[Sequence[str]], shown: Sequence[str]) -> Any:
    from rich.table import Table

    table = Table(title=f"{clock(elapsed)} since the first visit", title_justify="left")
    for name in shown:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(cell for name, cell in zip(HEAD, row, strict=True) if name in shown))
    return table


def row_of(cast: Cast, run: Mapping[str, Any] | None, seen: Mapping[str, Any]) -> tuple[str, ...]:
    """One app as a row: what the people saw, and what the evidence says."""
    arms = seen.get("arms", {})
    visits = sum(arm["visits"] for arm in arms.values())
    failed = sum(arm["failed"] for arm in arms.values())
    if run is None:
        return (cast.experiment, "starting", "n/a", number(visits), str(failed), "n/a", "n/a", "n/a", "n/a")
    evidence = run.get("evidence") or {}
    goal = evidence.get("metrics", {}).get("corrected", {})
    low, high = goal.get("interval") or (None, None)
    levels = " / ".join(_level(goal.get(side, {}).get("value")) for side in ("control", "treatment"))
    units = " / ".join(str(goal.get(side, {}).get("n", 0)) for side in ("control", "treatment"))
    interval = "n/a" if low is None else f"{difference(goal, low)} .. {difference(goal, high)}"
    state = run["state"] + (f" ({run['reason']})" if run["state"] == "held" and run.get("reason") else "")
    return (
        cast.experiment,
        state,
        share(share_now(run)),
        str(visits),
        str(failed),
        units,
        levels,
        difference(goal, goal.get("estimate")),
        interval,
    )


def _level(value: float | None) -> str:
    return "n/a" if value is None else f"{value * 100:.0f} %"


def share_now(run: Mapping[str, Any]) -> int | None:
    """The treatment's share of all traffic now, in parts per million."""
    if run["state"] == "promoted":
        return 1_000_000
    if run["state"] in ("rolled_back", "ended", "superseded"):
        return 0
    step = run.get("step", -1)
    ramp = run["spec"]["ramp"]
    return ramp[step]["traffic"] if 0 <= step < len(ramp) else 0
