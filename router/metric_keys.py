"""The keys of one metric in an experiment file, and what a run keeps of them.

A key that belongs to some kinds only is declared by their rows in ``router.metric``; with another kind it is an error
that says so. A key that is not written leaves nothing behind, so that a kept metric never depends on a later default.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from router.errors import nearest
from router.events import to_fixed
from router.metric import KINDS, Kind
from router.quantity import Unreadable, duration_ms, fraction, lift, plain, points, whole
from router.reading import MOST_CATEGORIES
from router.strict import Duration, Name, Strict, wrong

HOUR_MS = 3_600_000
GRACE_MS = 60_000
# The built-in metrics: kinds (the first by default), direction, whether harm must exceed the margin (True) or merely
# be shown (False).
BUILT_IN: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "errors": (("rare_proportion",), "lower", False),
    "slow": (("rare_proportion",), "lower", True),
    "refused": (("rare_proportion",), "lower", False),
    "latency": (("mean", "winsorised_mean", "exceedance"), "lower", True),
}
DIFFERENCES = ("mde", "margin", "tolerance")
KIND_KEYS = ("cap", "scale", "over", "quantile", "test", "sampled")


class Metric(Strict):
    """A goal or a guardrail."""

    metric: Name
    kind: str | None = None
    better: Literal["lower", "higher"] | None = None
    mde: str | None = None
    margin: str | None = None
    tolerance: str | None = None
    window: Duration = HOUR_MS
    grace: Duration = GRACE_MS
    absent: Literal["zero", "missing"] | None = None
    value: str | None = None
    cap: str | None = None
    scale: str | None = None
    over: str | None = None
    quantile: str | None = None
    test: Literal["converters", "log_rank"] | None = None
    sampled: Literal["true", "false"] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Metric:
        if self.kind is not None and self.kind not in KINDS:
            raise wrong(f"kind to be one of {', '.join(KINDS)}", repr(self.kind), nearest(self.kind, KINDS))
        self._known()
        row = self.row()
        self._own_keys(row)
        if self.value not in (None, *row.values):
            raise wrong(f"value of kind {row.name} to be one of {', '.join(row.values)}", repr(self.value))
        if self.absent not in (None, *row.absent):
            raise wrong(f"absent of kind {row.name} to be {' or '.join(row.absent)}", repr(self.absent))
        if self.sampled == "true" and self.absent == "zero":
            raise wrong(
                "no 'absent: zero' where labels are sampled", "both", "who was not asked has no value"
            )
        self._differences(row)
        for key in KIND_KEYS:
            self._own(key, row)
        return self

    def _known(self) -> None:
        """A built-in metric has its kinds and direction; any other names its own."""
        built_in = BUILT_IN.get(self.metric)
        if built_in is None and (self.kind is None or self.better is None):
            hint = nearest(self.metric, BUILT_IN)
            raise wrong("kind and better for a metric that is not built in", repr(self.metric), hint)
        if built_in is None:
            return
        kinds, better, _ = built_in
        if self.kind not in (None, *kinds) or self.better not in (None, better):
            raise wrong(
                f"built-in {self.metric} to be {' or '.join(kinds)}, better {better}",
                "another kind or direction",
            )
        if self.metric == "slow" and self.over is None:
            raise wrong(
                "'over' for slow", "none", "the time beyond which a request is slow, such as '300 ms'"
            )
        ways = ("largest", "mean") if self.row().name == "exceedance" else ("mean",)
        if self.metric == "latency" and self.value not in (None, *ways):
            raise wrong(f"the value of latency to be {' or '.join(ways)}", repr(self.value))

    def row(self) -> Kind:
        """The row of its kind."""
        return KINDS[self.kind or BUILT_IN[self.metric][0][0]]

    def _own_keys(self, row: Kind) -> None:
        """Kind-specific keys stand where their kind is, and nowhere else."""
        slow = self.metric == "slow"
        for key in KIND_KEYS:
            if getattr(self, key) is not None and key not in row.keys and not (slow and key == "over"):
                owners = [kind.name for kind in KINDS.values() if key in kind.keys]
                raise wrong(f"{key!r} for {', '.join(owners)} only", f"it at kind {row.name}")
        for choice in row.required:
            written = [key for key in choice if getattr(self, key) is not None]
            if len(written) != 1:
                found = " and ".join(repr(key) for key in written) or "none"
                raise wrong(f"{' or '.join(map(repr, choice))} for kind {row.name}", found)

    def _own(self, key: str, row: Kind) -> Any:
        """A kind-specific key as a run keeps it; None when it is not written."""
        text = getattr(self, key)
        if text is None:
            return None
        try:
            return self._read(key, text)
        except (Unreadable, ValueError) as problem:
            raise wrong(f"{key}: {getattr(problem, 'expected', problem)}", repr(text)) from problem

    def _read(self, key: str, text: str) -> Any:
        if key in ("cap", "over"):
            if self.metric == "slow":
                return duration_ms(text)
            limit = duration_ms(text) if self.metric == "latency" else plain(text)
            if not limit:
                raise Unreadable("a number above 0", text)
            return to_fixed(limit)
        if key == "scale":
            categories = whole(text)
            if not 2 <= categories <= MOST_CATEGORIES:
                raise Unreadable(f"2 .. {MOST_CATEGORIES} categories", text)
            return categories
        if key == "quantile":
            return fraction(text)
        return text == "true" if key == "sampled" else text

    def _differences(self, row: Kind) -> None:
        """All three relative, or all three absolute: they are compared with each other."""
        relative = {name for name in DIFFERENCES if (getattr(self, name) or "").endswith("%")}
        written = {name for name in DIFFERENCES if getattr(self, name) not in (None, "0")}
        if relative and written - relative:
            raise wrong("mde, margin and tolerance all relative ('5 %') or none of them", "both")
        if written and not relative and row.only_relative:
            raise wrong(f"relative differences ('5 %') for kind {row.name}", "an absolute one")
        for name in DIFFERENCES:
            value = self.difference(name)
            if value is not None and value >= 1 and name in relative and self._falls(name):
                raise wrong(
                    f"{name} below 100 %: a level cannot fall by more than itself", getattr(self, name)
                )

    def _falls(self, name: str) -> bool:
        """Whether the level at the end of this difference lies below control's."""
        better = self.better or BUILT_IN[self.metric][1]
        return (better == "higher") != (name == "mde")

    @property
    def relative(self) -> bool:
        """Whether its differences are shares of control's level."""
        return any((getattr(self, name) or "").endswith("%") for name in DIFFERENCES)

    def difference(self, name: str) -> float | None:
        """The mde, margin or tolerance as a number; None when it is not written."""
        text = getattr(self, name)
        if text is None:
            return None
        reader = lift if text.endswith("%") else points if self.row().share else plain
        try:
            value = 0.0 if text == "0" else reader(text)
        except Unreadable as problem:
            raise wrong(
                f"{name}: {problem.expected}, or a share of control's level such as '5 %'", repr(text)
            ) from problem
        if value <= 0 and name != "tolerance":
            raise wrong(f"{name} above 0", repr(text))
        return value

    def spec(self, role: str, *, covariate: bool = False) -> dict[str, Any]:
        """The metric as a run keeps it."""
        row, built_in = self.row(), BUILT_IN.get(self.metric)
        mde, margin, tolerance = (self.difference(name) for name in DIFFERENCES)
        margin = margin if margin is not None else mde
        if tolerance is None:
            tolerance = margin if built_in is not None and built_in[2] else 0.0
        own = {key: self._own(key, row) for key in row.keys} | {
            "relative": self.relative,
            "covariate": covariate and row.adjusted is not None,
        }
        return {
            "name": self.metric,
            "role": role,
            "kind": row.name,
            "better": self.better or (built_in[1] if built_in else "lower"),
            "mde": mde if mde is not None else margin,
            "margin": margin,
            "tolerance": tolerance,
            "window_ms": self.window,
            "grace_ms": self.grace,
            "absent": self.absent or ("zero" if built_in else row.absent[0]),
            "value": self.value or row.values[0],
            "over_ms": self._own("over", row) if self.metric == "slow" else None,
            "builtin": built_in is not None,
        } | {key: value for key, value in own.items() if value}
