"""Secrets of this installation: given by settings, or made once and kept in the data folder, readable by its owner.

Gateways and API must share them; they are never in Redis, in a log or in an audit entry.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from router.errors import Problem, SpecError
from router.settings import Settings

KEY_OCTETS = 32
SHORTEST_OCTETS = 16
LONGEST_OCTETS = 64


@dataclass(frozen=True, slots=True)
class Secrets:
    """Keys of decision ids by number, and the key of unit digests."""

    decision_keys: dict[int, bytes]
    unit_key: bytes


def load_secrets(settings: Settings) -> Secrets:
    """The secrets from settings, else from the data folder, made there if need be.

    Raises:
        SpecError: a key is not 'number:hex', or not hex.
    """
    kept = {} if settings.decision_keys and settings.unit_key else _kept(Path(settings.data_dir))
    decision_keys = settings.decision_keys or kept["decision_keys"]
    unit_key = settings.unit_key or kept["unit_key"]
    try:
        pairs = [pair.partition(":") for pair in decision_keys.split(",")]
        return Secrets({_number(n): _key(key) for n, _, key in pairs}, _key(unit_key))
    except ValueError:
        expected = (
            "decision_keys '1:hex,2:hex' with numbers 0 .. 255, and unit_key hex, of 16 .. 64 octets each"
        )
        raise SpecError([Problem("secrets", expected, "a value that is kept secret")]) from None


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 255:
        raise ValueError(text)
    return number


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if not SHORTEST_OCTETS <= len(key) <= LONGEST_OCTETS:
        raise ValueError("length")
    return key


def _kept(folder: Path) -> dict[str, str]:
    path = folder / "secrets.json"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        made = {
            "decision_keys": f"1:{secrets.token_hex(KEY_OCTETS)}",
            "unit_key": secrets.token_hex(KEY_OCTETS),
        }
        scratch = folder / f"secrets.{secrets.token_hex(8)}.new"
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())  # keys that a power cut takes back would make every decision id forged
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)  # the first of several processes wins; the others read its keys
        scratch.unlink()
    try:
        kept = json.loads(path.read_text())
        return {name: str(kept[name]) for name in ("decision_keys", "unit_key")}
    except (ValueError, KeyError, TypeError):
        hint = "restore it, or remove it: then new keys are made and old decision ids are refused"
        raise SpecError(
            [Problem(str(path), "decision_keys and unit_key as JSON", "something else", hint)]
        ) from None
