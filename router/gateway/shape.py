"""The shape of a head: the names of its fields, in their order and spelling. Pure.

Clients and servers say the same names again and again. What names alone decide is worked out once for each shape: the
lower-cased names, which fields are forwarded, which need a closer look. The values then go through in one step.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names).
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"http2-settings",
    )
)
# Written by us in every request, from what the client's said.
ANEW = HOP_BY_HOP | {b"expect", b"host", b"x-forwarded-for", b"max-forwards"}
OWN = b"pointsman"
OUTCOME_FIELD = b"pointsman-outcome"
WRITTEN_FROM = frozenset((b"connection", b"x-forwarded-for", b"max-forwards"))
# Fields that may stand once only: two of them are two readings of one message.
ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
SHAPES_MOST = 256
NAMES_OCTETS = 2048
SPACE: Final = 0x20

Field = tuple[bytes, bytes, bytes]


class Shape:
    """What the names of a head's fields decide.

    Attributes:
        keys: the names, lower-cased.
        at: where a name stands first.
        repeated: a field that stands twice though two of it would be two readings of one message; None without one.
        plain: a request's head has no field from whose value we write one of our own.
        host_at: which field is Host; -1 for none.
        length_at: which field is Content-Length; -1 for none.
        coded: there is a Transfer-Encoding.
        wishes: there is an Expect or an Upgrade.
        connections: which fields are Connection.
        reports: which fields report outcomes.
        has_date: a Date goes on.
    """

    __slots__ = (
        "_lines", "_names", "at", "coded", "connections", "has_date", "host_at", "keys", "length_at", "plain", "repeated",
        "reports", "wishes",
    )  # fmt: skip

    def __init__(self, names: tuple[bytes, ...], stopped: Set[bytes]) -> None:
        keys = self.keys = tuple(name.lower() for name in names)
        self._names = names
        at = self.at = {key: number for number, key in reversed(tuple(enumerate(keys)))}
        twice = ONCE.intersection(keys) if len(at) < len(keys) else frozenset()
        self.repeated = next((key for key in keys if key in twice and keys.count(key) > 1), None)
        self.plain = WRITTEN_FROM.isdisjoint(keys)
        self.host_at = at.get(b"host", -1)
        self.length_at = at.get(b"content-length", -1)
        self.coded = b"transfer-encoding" in at
        self.wishes = b"expect" in at or b"upgrade" in at
        self.connections = self._where(b"connection")
        self.reports = self._where(OUTCOME_FIELD)
        self.has_date = b"date" in at
        # A value that does not go on is written with a precision of no octets.
        self._lines = b"".join(
            b"%b: %%b\r\n" % name.replace(b"%", b"%%") if goes_on(key, stopped) else b"%.0b"
            for key, name in zip(keys, names, strict=True)
        )

    def _where(self, key: bytes) -> tuple[int, ...]:
        return tuple(number for number, found in enumerate(self.keys) if found == key)

    def lines(self, values: tuple[bytes, ...]) -> bytes:
        """The fields that go on, each with its line end."""
        return self._lines % values

    def codings(self, values: tuple[bytes, ...]) -> list[bytes]:
        """What the Transfer-Encoding fields say."""
        return [value for key, value in zip(self.keys, values, strict=True) if key == b"transfer-encoding"]

    def fields(self, values: tuple[bytes, ...]) -> list[Field]:
        """Lower-cased name, name and value of each field."""
        return list(zip(self.keys, self._names, values, strict=True))


def goes_on(key: bytes, stopped: Set[bytes]) -> bool:
    """Whether a field is forwarded. Servers that read fields as variables take an underscore for a dash."""
    key = key.replace(b"_", b"-")
    return key not in stopped and not key.startswith(OWN)


class Shapes(dict[tuple[bytes, ...], Shape]):
    """The shapes of heads by their names; those of long heads, which nobody sends often, are not remembered."""

    def __init__(self, stopped: Set[bytes]) -> None:
        super().__init__()
        self._stopped = stopped

    def __missing__(self, names: tuple[bytes, ...]) -> Shape:
        shape = Shape(names, self._stopped)
        if sum(map(len, names)) <= NAMES_OCTETS:
            if len(self) >= SHAPES_MOST:
                self.clear()
            self[names] = shape
        return shape

    def split(self, fields: list[Field]) -> tuple[Shape, tuple[bytes, ...]]:
        """The shape of these fields, and their values."""
        return self[tuple(name for _, name, _ in fields)], tuple(value for _, _, value in fields)


REQUEST_SHAPES = Shapes(ANEW)
ANSWER_SHAPES = Shapes(HOP_BY_HOP)


def fields_of(names: list[bytes], values: list[bytes]) -> list[Field]:
    """Lower-cased name, name and value of each field."""
    return [(name.lower(), name, value) for name, value in zip(names, values, strict=True)]


def trimmed(name: bytes, value: bytes) -> bytes:
    """A value without the blanks behind it, which the parser leaves there (RFC 9110 section 5.5).

    It takes a coding with a tab behind it for another one; that one is left as it is, for us to refuse it too.
    """
    return value.rstrip(b" " if name.lower() == b"transfer-encoding" else b" \t")
