"""What the demo leaves in its folder for the pages: scans, misread scans by arm, and which app is which route.

Without a demo folder there is none of it, and the pages that need it do not exist.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from router.api import charts

SHOWN_PER_ARM = 8
CLICKS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan that may be shown and sent."""

    index: int
    pixels: tuple[int, ...]
    label: int


def _read(folder: str, name: str) -> Any:
    """A file of the demo; None while it is not there or just being written."""
    try:
        return json.loads((Path(folder) / name).read_text())
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4)
def _scans(folder: str, modified: float) -> dict[int, Scan]:
    rows = _read(folder, "scans.json") or []
    return {row["index"]: Scan(row["index"], tuple(row["pixels"]), row["label"]) for row in rows}


def scans_of(folder: str) -> dict[int, Scan]:
    """All scans by index."""
    try:
        modified = (Path(folder) / "scans.json").stat().st_mtime
    except OSError:
        return {}
    return _scans(folder, modified)


def apps_of(folder: str) -> dict[str, str]:
    """Route by app."""
    return dict((_read(folder, "demo.json") or {}).get("routes", {}))


def path_of(folder: str, app: str) -> str | None:
    """Where an app posts its scans, when the demo says so."""
    path = (_read(folder, "demo.json") or {}).get("paths", {}).get(app)
    return str(path) if path else None


def misread_of(folder: str, experiment: str, arms: Collection[str]) -> list[dict[str, Any]]:
    """The last misread scans of an experiment, by its arms, ready to be shown."""
    rows = (_read(folder, "misread.json") or {}).get(experiment, []) if folder else []
    scans = scans_of(folder) if rows else {}
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["index"] in scans and row["arm"] in arms:
            by_arm.setdefault(row["arm"], []).append(
                {**row, "picture": picture(scans[row["index"]], f"a {row['label']}, read as {row['answer']}")}
            )
    return [{"arm": arm, "scans": shown[-SHOWN_PER_ARM:]} for arm, shown in sorted(by_arm.items())]


def clicks_of(folder: str, experiment: str) -> list[dict[str, Any]]:
    """What people at /try said of an experiment's answers, the latest first."""
    rows = (_read(folder, "clicks.json") or []) if folder else []
    return [row for row in reversed(rows) if row["experiment"] == experiment]


def keep_click(folder: str, click: Mapping[str, Any]) -> None:
    """Remember a click, so that its page can name it among thousands of units."""
    rows = [*(_read(folder, "clicks.json") or []), dict(click)][-CLICKS_KEPT:]
    scratch = Path(folder) / f"clicks.json.{threading.get_ident()}"
    scratch.write_text(json.dumps(rows))
    scratch.replace(Path(folder) / "clicks.json")


def picture(scan: Scan, title: str) -> Markup:
    """A scan as a picture."""
    return charts.scan(scan.pixels, title)
