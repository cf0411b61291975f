"""Lua scripts: loaded from this folder, run by digest, their answers turned into errors of ours.

Flag writes, rollbacks and the fold must work on a full Redis: from version 7 a script may say so in its first line.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import redis

from router.errors import Fenced, Problem, SpecError, StoreUnavailable
from router.store.connect import reachable, server_version

ALLOW_OOM = "#!lua flags=allow-oom\n"
KNOWS_FLAGS = (7,)


class Script:
    """One script by its file's name."""

    def __init__(self, client: redis.Redis, name: str, *, on_full: bool = True) -> None:
        self._client = client
        self._name = name
        self._on_full = on_full
        self._script: Any = None

    def __call__(self, keys: list[str], arguments: list[Any]) -> Any:
        """Run it.

        Raises:
            StoreUnavailable: Redis does not answer, or a key holds something of another type.
            Fenced: a newer leader exists.
            SpecError: a value is too large; nothing was written.
        """
        with reachable(self._name):
            if self._script is None:
                self._script = self._client.register_script(self._text())
            answer = self._script(keys=keys, args=arguments)
        if isinstance(answer, list) and answer[0] == b"WRONGTYPE":
            key, found = (part.decode() for part in answer[1:3])
            raise StoreUnavailable(
                f"{self._name}: key {key} holds a {found}: somebody else writes below our prefix"
            )
        if isinstance(answer, list) and answer[0] == b"TOOLARGE":
            found = f"argument {answer[1].decode()} of {int(answer[2]):,}"
            raise SpecError([Problem(self._name, "values of at most 4 MiB", found, "nothing was written")])
        if isinstance(answer, list) and answer[0] == b"FENCED":
            raise Fenced(f"{self._name}: a newer leader has taken over; nothing was written")
        return answer

    def _text(self) -> str:
        text = files("router.store").joinpath(f"{self._name}.lua").read_text()
        if self._on_full and server_version(self._client) >= KNOWS_FLAGS:
            return ALLOW_OOM + text
        return text
