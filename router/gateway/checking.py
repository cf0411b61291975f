"""``pointsman gateway --check``: would a gateway with these settings serve? Everything is looked at, nothing is changed."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from router.errors import Problem, SpecError, StoreUnavailable
from router.gateway import disk
from router.gateway.counters import Counters, Counts
from router.gateway.pool import upstream_of
from router.gateway.snapshot import Compiler
from router.gateway.tracing import provider_of
from router.settings import Settings
from router.store.connect import connect
from router.store.flags import FlagStore
from router.store.keys import Keys
from router.store.secrets import load_secrets


def problems(settings: Settings) -> list[Problem]:
    """All that stands in the way of a start, or of a flag."""
    return [
        *_bind(settings.gateway_bind),
        *_certificates(settings),
        *_data_dir(Path(settings.data_dir)),
        *_spoken(settings),
        *_flags(settings),
    ]


def _bind(bind: str) -> Iterator[Problem]:
    if bind.startswith("unix:"):
        return
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        yield Problem("gateway_bind", "HOST:PORT or unix:/path", repr(bind))
        return
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as asked:
        try:
            asked.bind((host.strip("[]"), int(port)))
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:  # the gateway that is checked may be running
                yield Problem("gateway_bind", "an address of this machine", f"{bind}: {problem}")


def _certificates(settings: Settings) -> Iterator[Problem]:
    if bool(settings.gateway_certfile) != bool(settings.gateway_keyfile):
        yield Problem("gateway_certfile", "gateway_certfile and gateway_keyfile together", "one of them")
    elif settings.gateway_certfile:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.gateway_certfile, settings.gateway_keyfile)
        except (OSError, ssl.SSLError) as problem:
            yield Problem("gateway_certfile", "a certificate and its key in PEM", str(problem))


def _data_dir(folder: Path) -> Iterator[Problem]:
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        hint = "a gateway serves without it, but cannot start while Redis is away"
        yield Problem("data_dir", "a folder that can be written", str(there), hint)


def _spoken(settings: Settings) -> Iterator[Problem]:
    questions: list[Callable[[], object]] = [lambda: provider_of(settings.traces)]
    given = settings.decision_keys and settings.unit_key
    if given or (Path(settings.data_dir) / "secrets.json").exists():  # they would be made else
        questions.append(lambda: load_secrets(settings))
    for ask in questions:
        try:
            ask()
        except SpecError as problem:
            yield from problem.problems


def _flags(settings: Settings) -> Iterator[Problem]:
    """Redis, or what is kept of it, and whether each flag there can be served."""
    if not settings.redis_url:
        yield Problem("redis_url", "the address of Redis", "nothing", "set REDIS_URL=redis://host:6379/0")
        return
    client = connect(settings.redis_url, settings.store_timeout_ms)
    try:
        live = FlagStore(client, Keys(settings.prefix)).live()
        flags = list(live.flags.values())
        yield from (Problem(name, "a flag that can be read", text) for name, text in live.corrupt.items())
    except (StoreUnavailable, SpecError) as problem:
        kept = disk.load(Path(settings.data_dir))
        flags = [flag for flag, _ in kept.flags.values()] if kept else []
        hint = f"{len(flags)} flags are kept on disk" if kept else "and no flags are kept on disk"
        yield Problem("redis_url", "a Redis that answers", str(problem), hint)
    finally:
        client.close()
    counters = Counters(None)
    compiler = Compiler(
        lambda url, limits=None: upstream_of(url, Counts(), limits), counters.row(counters.reserve()), 1, 1
    )
    compiled = []
    for flag in flags:
        try:
            compiled.append(compiler.compile(flag))  # what it asks of others is looked at below
        except SpecError as problem:
            for one in problem.problems:
                yield Problem(f"{flag.route}.{one.path}", one.expected, one.found, one.hint)
    for published in compiler.keysets.all():
        try:
            published.read()
        except SpecError as problem:
            yield from problem.problems
