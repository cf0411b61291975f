"""The last good flags on disk: written whole or not at all, read at start, when Redis may be away."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from router.errors import SpecError
from router.flag import Flag

NAME = "snapshot.json"


class _Kept(msgspec.Struct):
    store_id: str
    flags: list[msgspec.Raw]
    format: int = 1


def save(data_dir: Path, store_id: str, flags: Iterable[Flag]) -> None:
    """Replace the kept flags; a crash leaves the old ones.

    Raises:
        OSError: the folder cannot be written.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    kept = _Kept(store_id, [msgspec.Raw(flag.encode()) for flag in flags])
    scratch = data_dir / f".{NAME}.{os.getpid()}"
    with scratch.open("wb") as file:
        file.write(msgspec.json.encode(kept))
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, data_dir / NAME)


def load(data_dir: Path) -> tuple[str, list[Flag], list[str]] | None:
    """Store, flags, and what was wrong with those that could not be read; None when nothing is kept."""
    try:
        kept = msgspec.json.decode((data_dir / NAME).read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as problem:
        return "", [], [f"{data_dir / NAME}: {problem}"]
    flags, problems = [], []
    for raw in kept.flags:
        try:
            flags.append(Flag.parse(bytes(raw)))
        except SpecError as problem:
            problems.append(str(problem))
    return kept.store_id, flags, problems
