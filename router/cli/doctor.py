"""``pointsman doctor``: what this machine has, which Redis would be used and why, and what answers."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from router.cli.client import api_of
from router.cli.exits import NO, YES
from router.cli.files import api_option, json_option
from router.errors import PointsmanError
from router.settings import Settings

OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list: ``ok`` None is a fact that is neither good nor bad."""

    name: str
    ok: bool | None
    found: str


def check_python() -> Check:
    """The interpreter."""
    return Check(
        "python", sys.version_info >= OLDEST_PYTHON, f"{platform.python_version()} at {sys.executable}"
    )


def check_redis() -> list[Check]:
    """Which rung of the ladder is taken; a given server is also asked for an answer."""
    from router.local.redis_server import find_redis
    from router.store.connect import connect

    try:
        choice = find_redis(os.environ)
    except PointsmanError as problem:
        return [Check("redis", False, str(problem))]
    checks = [Check("redis", True, f"{choice.rung}: {choice.reason} (version {choice.version})")]
    if choice.url:
        begun = time.perf_counter()
        connect(choice.url).ping()
        checks.append(
            Check("redis latency", True, f"{(time.perf_counter() - begun) * 1e3:.1f} ms for a ping")
        )
    return checks


def check_ports(settings: Settings) -> list[Check]:
    """Whether the default addresses are free."""
    checks = []
    for name, bind in (("gateway", settings.gateway_bind), ("api", settings.api_bind)):
        host, _, port = bind.rpartition(":")
        with socket.socket() as probe:
            taken = probe.connect_ex((host or "127.0.0.1", int(port))) == 0
        checks.append(Check(f"{name} address", None, f"{bind} {'answers: in use' if taken else 'is free'}"))
    return checks


def check_data_dir(settings: Settings) -> Check:
    """Whether the last good snapshot and the secrets can be kept."""
    folder = Path(settings.data_dir)
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return Check(
        "data folder",
        os.access(place, os.W_OK),
        f"{folder} ({'writable' if os.access(place, os.W_OK) else 'NOT writable'})",
    )


def check_api(address: str | None) -> Check:
    """Whether an API answers where the other commands would look for it."""
    api = api_of(address)
    try:
        gateways = api.get("/v1/status").get("gateways", [])
    except PointsmanError as problem:
        return Check("api", None, str(problem))
    return Check("api", True, f"{api.address} answers; {len(gateways)} gateway workers alive")


@click.command()
@api_option
@json_option
def doctor(address: str | None, as_json: bool) -> int:
    """Check this machine: Python, Redis, addresses, files."""
    settings = Settings.load(os.environ)
    checks = [
        check_python(),
        *check_redis(),
        *check_ports(settings),
        check_data_dir(settings),
        check_api(address),
    ]
    if as_json:
        click.echo(json.dumps({"checks": [{"name": c.name, "ok": c.ok, "found": c.found} for c in checks]}))
    else:
        for check in checks:
            mark = {True: "ok", False: "BAD", None: "-"}[check.ok]
            click.echo(f"{mark:>3}  {check.name}: {check.found}")
    return NO if any(check.ok is False for check in checks) else YES
