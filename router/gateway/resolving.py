"""Names of model servers: which addresses they mean now, of both families, in the order in which they are to be tried."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

RESOLVE_S = 5.0  # between two questions to the resolver, which knows how long its answers are good
STATIC = frozenset(("localhost",))

Resolve = Callable[[str, int], Awaitable[list[str]]]


def is_literal(host: str) -> bool:
    """Whether a host means one machine for ever."""
    if host in STATIC:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_six(address: str) -> bool:
    """Whether an address is of IPv6."""
    return ":" in address


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, those that the system prefers first (RFC 6724).

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as problem:
        raise OSError(f"{host} is no name") from problem
    return list(dict.fromkeys(str(one[4][0]) for one in found))
