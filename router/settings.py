"""Settings of the processes: one table; from file, environment and flags, in this order of growing weight.

A setting is one row of TABLE; its unit is in its name. Settings say how a process runs here; what is routed and what
is tested stands in routes and experiments, never here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from router.document import Document
from router.errors import Problem, SpecError, StoreUnavailable, nearest

ENVIRONMENT_PREFIX = "POINTSMAN_"
LARGEST_PORT = 65_535
# Names with our prefix that are no settings: of the launcher, of processes to their children, of commands to the API.
OTHER_VARIABLES = frozenset({"POINTSMAN_RUN", "POINTSMAN_PARENT", "POINTSMAN_API"})
# What Kubernetes gives every pod for a Service whose name begins with ours.
OF_A_SERVICE = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its default also says its type."""

    name: str
    default: str | int
    about: str
    secret: bool = False
    address: bool = False


TABLE: tuple[Row, ...] = (
    Row("redis_url", "", "Address of Redis; also read from REDIS_URL.", secret=True),
    Row("prefix", "pointsman:", "Begins every key in Redis."),
    Row("data_dir", ".pointsman", "Folder for the last good snapshot, secrets and archives."),
    Row("gateway_bind", "127.0.0.1:8320", "Where the gateway listens.", address=True),
    Row("gateway_workers", 2, "Worker processes of the gateway."),
    Row(
        "gateway_port_shared",
        0,
        "1: another gateway of this host may listen at the same port (SO_REUSEPORT), to start before this one stops.",
    ),
    Row(
        "gateway_certfile",
        "",
        "Certificate chain in PEM: the gateway speaks TLS to clients when it is given.",
    ),
    Row("gateway_keyfile", "", "Its private key in PEM."),
    Row("api_bind", "127.0.0.1:8321", "Where the API and the dashboard listen.", address=True),
    Row("api_threads", 32, "Threads of the API's process."),
    Row("api_url", "", "How others reach the API; made from api_bind when empty."),
    Row("gateway_url", "", "How others reach the gateway; made from gateway_bind when empty."),
    Row("token", "", "Bearer token of the API; needed for any bind but loopback.", secret=True),
    Row("decision_keys", "", "Keys of decision ids, '1:hex,2:hex'; the highest number signs.", secret=True),
    Row("unit_key", "", "Key of unit digests, hex.", secret=True),
    Row("flush_ms", 100, "Longest wait before recorded events are written."),
    Row("flush_rows", 1000, "Recorded rows that are written at once."),
    Row(
        "buffer_rows",
        100_000,
        "Rows a worker keeps while Redis does not answer; more are dropped and counted.",
    ),
    Row("sticky_units", 100_000, "Units that a sticky run remembers; more are counted, and are not sticky."),
    Row("poll_ms", 500, "How often a gateway asks for moved revisions."),
    Row(
        "versions_ms",
        10_000,
        "Between two questions to a server for its model's version, where a route asks.",
    ),
    Row("store_timeout_ms", 1000, "Longest wait for one answer of Redis."),
    Row("connect_timeout_ms", 1000, "Longest wait for a connection to an upstream."),
    Row("head_timeout_ms", 10_000, "Longest time a client may take for a request head."),
    Row("idle_timeout_ms", 60_000, "Longest silence on a kept-alive or streaming connection."),
    Row("first_byte_timeout_ms", 30_000, "Longest wait for the first byte of an answer."),
    Row("total_timeout_ms", 600_000, "Longest time of one request in all."),
    Row("header_limit", 65_536, "Octets of a request's or answer's head."),
    Row("header_count_limit", 128, "Fields of a request's or answer's head."),
    Row("target_limit", 16_384, "Octets of a request target."),
    Row("body_hold_limit", 65_536, "Octets of a body that may be held to find the unit in it."),
    Row("body_limit", 1_073_741_824, "Octets of a request body."),
    Row("connections_limit", 16_384, "Client connections of a worker; one more is answered 503 and closed."),
    Row("requests_limit", 4096, "Requests a worker serves at a time; one more is answered 503."),
    Row("graceful_timeout_ms", 30_000, "How long a stopping worker waits for open answers."),
    Row("worker_timeout_ms", 30_000, "A gateway's worker whose loop stands still for so long is replaced."),
    Row("access_log", "", "File for a line of JSON per request; '-' for standard output, empty for none."),
    Row("traces", "", "'otlp' sends a span per request, as the OTEL_ variables say; needs the extra 'otel'."),
    Row("lease_ms", 5000, "How long a controller's lease lasts without renewal."),
    Row("look_ms", 1000, "Least time between two looks at one run."),
    Row("writer_silence_ms", 10_000, "A writer silent for so long no longer holds the watermark."),
    Row("gap_wait_ms", 60_000, "How long a gap in a writer's sequence is awaited."),
    Row("lag_limit_ms", 30_000, "Ingestion lag above which a verdict is invalid."),
    Row("log_level", "info", "debug, info, warning or error."),
    Row("demo_folder", "", "The demo's folder; enables the page /try."),
)
ROWS = {row.name: row for row in TABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process; the fields are the rows of TABLE."""

    redis_url: str
    prefix: str
    data_dir: str
    gateway_bind: str
    gateway_workers: int
    gateway_port_shared: int
    gateway_certfile: str
    gateway_keyfile: str
    api_bind: str
    api_threads: int
    api_url: str
    gateway_url: str
    token: str
    decision_keys: str
    unit_key: str
    flush_ms: int
    flush_rows: int
    buffer_rows: int
    sticky_units: int
    poll_ms: int
    versions_ms: int
    store_timeout_ms: int
    connect_timeout_ms: int
    head_timeout_ms: int
    idle_timeout_ms: int
    first_byte_timeout_ms: int
    total_timeout_ms: int
    header_limit: int
    header_count_limit: int
    target_limit: int
    body_hold_limit: int
    body_limit: int
    connections_limit: int
    requests_limit: int
    graceful_timeout_ms: int
    worker_timeout_ms: int
    access_log: str
    traces: str
    lease_ms: int
    look_ms: int
    writer_silence_ms: int
    gap_wait_ms: int
    lag_limit_ms: int
    log_level: str
    demo_folder: str

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        document: Document | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Settings:
        """Merge file, environment and flags.

        Raises:
            SpecError: all unknown names and bad values at once, each with where it came from.
        """
        problems: list[Problem] = []
        values: dict[str, Any] = {row.name: row.default for row in TABLE}
        if environ.get("REDIS_URL"):
            values["redis_url"] = environ["REDIS_URL"]
        for name, value in (document.data if document else {}).items():
            place = document.place((name,)) if document else (0, 0)
            problem = _take(values, "settings", name, value)
            if problem and document:
                problems.append(replace(problem, file=document.file, line=place[0], column=place[1]))
        flags = {name: value for name, value in (overrides or {}).items() if value is not None}
        for source, given in (("environment", _from_environment(environ)), ("flags", flags)):
            problems += filter(None, (_take(values, source, name, value) for name, value in given.items()))
        if problems:
            raise SpecError(problems)
        return cls(**values)

    def as_environ(self) -> dict[str, str]:
        """The same settings for a child process."""
        return {ENVIRONMENT_PREFIX + row.name.upper(): str(getattr(self, row.name)) for row in TABLE}

    def api_address(self) -> str:
        """How others reach the API."""
        return self.api_url or f"http://{self.api_bind}"

    def gateway_address(self) -> str:
        """How others reach the gateway."""
        scheme = "https" if self.gateway_certfile else "http"
        return self.gateway_url or f"{scheme}://{self.gateway_bind}"


def host_and_port(bind: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[V6]:PORT`` in its two parts.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = bind.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or any(character.isspace() or character in "[]/@" for character in bare):
        raise ValueError(bind)
    if bare != host:
        ipaddress.IPv6Address(bare)
    elif ":" in bare:
        raise ValueError(bind)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= LARGEST_PORT):
        raise ValueError(bind)
    return bare, int(port)


def is_loopback(bind: str) -> bool:
    """Whether only this machine can reach the address; a name other than ``localhost`` may resolve to anything."""
    host, _ = host_and_port(bind)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_token(name: str, bind: str, token: str) -> None:
    """Refuse to listen to the world without a token.

    Raises:
        SpecError: the bind is not loopback and there is no token.
    """
    if not token and not is_loopback(bind):
        hint = "set POINTSMAN_TOKEN to a long random text, or bind to 127.0.0.1"
        raise SpecError([Problem(name, "a token for any bind but loopback", f"{bind} without one", hint)])


def require_redis(settings: Settings) -> None:
    """Refuse to start a process that has no Redis to speak to; one that does not answer is another matter.

    Raises:
        StoreUnavailable: there is no address.
    """
    if not settings.redis_url:
        raise StoreUnavailable(
            "redis_url: expected the address of Redis, found nothing - set REDIS_URL=redis://host:6379/0, "
            "or use 'pointsman up', which brings its own"
        )


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name[len(ENVIRONMENT_PREFIX) :].lower(): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
        and name not in OTHER_VARIABLES
        and not OF_A_SERVICE.fullmatch(name)
    }


def _take(values: dict[str, Any], source: str, name: str, value: object) -> Problem | None:
    """Take one value, or say what is wrong with it."""
    row, path = ROWS.get(name), f"{source}.{name}"
    if row is None:
        return Problem(path, "a known setting", repr(name), nearest(name, ROWS))
    if not isinstance(value, str | int):
        found = "nothing" if value is None else f"a {'list' if isinstance(value, list) else 'mapping'}"
        return Problem(path, "one value", found)
    shown = "a value that is kept secret" if row.secret else repr(value)
    if row.address:
        try:
            host_and_port(str(value))
        except ValueError:
            return Problem(path, f"HOST:PORT such as {row.default}", shown)
    if isinstance(row.default, str):
        values[name] = str(value)
        return None
    if not str(value).isascii() or not str(value).isdigit() or len(str(value)) > 15:
        return Problem(path, "a whole number of at least 0", shown)
    values[name] = int(value)
    return None
