"""One connection kept by one asker, so that a question costs its own octets and no walk through the client's pool.

For what is on the way of every change and must be answered at once; everything else asks through the client.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio

Command = tuple[str | int, ...]


class Line:
    """A connection of a client's pool, opened by the first question, closed with the client."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers to some commands that are sent together, each as the protocol has it.

        Raises:
            redis.RedisError: a command was refused, or there is no answer in time; the next question connects anew.
        """
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        line = self._connection
        try:
            await line.send_packed_command(line.pack_commands(commands), check_health=False)
            return [await line.read_response() for _ in commands]
        except BaseException:  # also when cancelled: what was asked must not be the answer to something else
            await line.disconnect(nowait=True)
            raise


def numbered(rows: list[Any]) -> list[tuple[bytes, int]]:
    """Members with whole scores: RESP2 has them in one row, RESP3 in pairs."""
    pairs = rows if rows and isinstance(rows[0], list) else zip(rows[::2], rows[1::2], strict=True)
    return [(member, int(score)) for member, score in pairs]
