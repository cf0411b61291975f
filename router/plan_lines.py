"""What a plan says of its changes, in words: what differs, what is taken away, whose evidence is discarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from router.flag import Flag
from router.lanes import Slice

SHOWN_FIELDS = (
    "match", "unit", "default", "expose", "first_byte_timeout_ms", "total_timeout_ms", "protocol", "retries",
    "repeatable", "fallback", "serving", "enabled", "schedule", "units",
    "rules", "requires", "attributes", "segments", "algorithm",
)  # fmt: skip
ARM_FIELDS = ("set", "declares", "price", "pool", "warm")
# What depends on who asks, so that the units it moves have no range and are not counted.
ASKING = ("rules", "units", "requires", "attributes", "segments")


def route_differences(old: Flag, new: Flag) -> list[str]:
    """What differs between two flags of one route, a line each."""
    lines: list[str] = []
    for name in SHOWN_FIELDS:
        differing = _differences(name, getattr(old, name), getattr(new, name))
        lines += [f"{path}: {change}" for path, change in differing]
    lines += _arm_differences(old, new)
    if any(getattr(old, name) != getattr(new, name) for name in ASKING):
        lines.append("what rules, lists and prerequisites move depends on who asks and is not counted")
    return lines


def _arm_differences(old: Flag, new: Flag) -> Iterator[str]:
    before, after = ({arm.name: arm for arm in flag.arms} for flag in (old, new))
    for name in sorted({*before, *after}):
        was, becomes = before.get(name), after.get(name)
        upstreams = [arm.upstream if arm else "none" for arm in (was, becomes)]
        if upstreams[0] != upstreams[1]:
            yield f"arm {name}: {upstreams[0]} -> {upstreams[1]}"
        for field in ARM_FIELDS if was and becomes else ():
            for path, change in _differences(field, getattr(was, field), getattr(becomes, field)):
                yield f"arm {name}: {path} {change}"


def _differences(path: str, old: object, new: object) -> Iterator[tuple[str, str]]:
    """What differs, down to the fields that do: each with its path."""
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
        for field in old.__struct_fields__:
            yield from _differences(f"{path}.{field}", getattr(old, field), getattr(new, field))
    else:
        yield path, f"{_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    if value is None or value is msgspec.UNSET:
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def route_removals(old: Flag, new: Flag) -> tuple[str, ...]:
    """Everything of a route that its new flag no longer has, by name."""
    left = _parts(new)
    gone = [part for part in _parts(old) if part not in left]
    return tuple(f"{kind} {name} of route {old.route}" for kind, name in gone)


def _parts(flag: Flag) -> list[tuple[str, str]]:
    return [
        *(("arm", arm.name) for arm in flag.arms),
        *(("rule", rule.id) for rule in flag.rules),
        *(("unit list", arm) for arm, _ in flag.units),
        *(("prerequisite", needed.route) for needed in flag.requires),
        *(("attribute", name) for name, _, _ in flag.attributes),
        *([("schedule", "and its edges")] if flag.schedule else []),
    ]


def start_lines(run: Mapping[str, Any], layer: Slice | None) -> tuple[str, ...]:
    """What a new run begins with."""
    spec = run["spec"]
    first = spec["ramp"][0]["traffic"] / 10_000
    return (
        f"run {run['run']}: {spec['control']} against {spec['treatment']}, held until the treatment is ready"
        + (" and its schedule has begun" if spec.get("schedule") else ""),
        f"first step {first:g} % of traffic, {len(spec['ramp'])} steps",
        *(("promotion goes on from the evidence of earlier attempts",) if run["prior"] else ()),
        *(
            ("sticky: who was enrolled stays, whatever audience and coverage say later",)
            if spec.get("sticky")
            else ()
        ),
        *([f"owns {ranges(layer.ranges)} of layer {layer.layer}"] if layer else []),
    )


def discarded(run: Mapping[str, Any]) -> str:
    """The evidence that a new epoch leaves behind, named."""
    evidence = run.get("evidence") or {}
    exposed = sum(row["exposed"] for row in evidence.get("units", {}).values())
    metrics = ", ".join(evidence.get("metrics", {})) or "no metric yet"
    return f"run {run['run']} is superseded; {exposed:,} units of evidence are discarded ({metrics})"


def ranges(owned: tuple[tuple[int, int], ...]) -> str:
    """Ranges of a layer as people read them."""
    return " and ".join(f"[{start}, {end})" for start, end in owned)
