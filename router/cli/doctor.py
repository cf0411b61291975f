"""``pointsman doctor``: what this machine has, which Redis would be used and why, and what answers."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from router.cli import terminal
from router.cli.client import Unreachable, api_of
from router.cli.exits import NO, TROUBLE, YES
from router.cli.files import api_option, json_option
from router.errors import PointsmanError
from router.settings import Settings, host_and_port

OLDEST_PYTHON = (3, 11)
LONGEST_PROBE_S = 1.0


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


def check_compiled() -> Check:
    """Whether requests pass through compiled modules."""
    found = find_spec("router.gateway.client")
    compiled = found is not None and not str(found.origin).endswith(".py")
    return Check(
        "gateway", None, "compiled" if compiled else "plain Python: deploy/README.md says how to compile it"
    )


def check_redis(settings: Settings) -> Check:
    """Which rung of the ladder is taken; a given server has answered, or is BAD."""
    from router.local.redis_server import redis_of

    begun = time.perf_counter()
    try:
        choice = redis_of(settings)
    except PointsmanError as problem:
        return Check("redis", False, str(problem))
    took = f", answered in {(time.perf_counter() - begun) * 1e3:.1f} ms" if choice.url else ""
    return Check("redis", True, f"{choice.rung}: {choice.reason} (version {choice.version}{took})")


def check_ports(settings: Settings) -> list[Check]:
    """Whether the default addresses are free."""
    checks = []
    for name, bind in (("gateway", settings.gateway_bind), ("api", settings.api_bind)):
        host, port = host_and_port(bind)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.settimeout(LONGEST_PROBE_S)
            try:
                taken = probe.connect_ex((host, port)) == 0
            except OSError as problem:  # a name that resolves to nothing
                checks.append(Check(f"{name} address", False, f"{bind}: {problem}"))
                continue
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
    """Whether an API answers where the other commands would look for it; one that answers must answer well."""
    api = api_of(address)
    try:
        gateways = api.get("/v1/status").get("gateways", [])
    except PointsmanError as problem:
        return Check("api", None if isinstance(problem, Unreachable) else False, str(problem))
    return Check("api", True, f"{api.address} answers; {len(gateways)} gateway workers alive")


@click.command()
@api_option
@json_option
def doctor(address: str | None, as_json: bool) -> int:
    """Check this machine: Python, Redis, addresses, files. Exits 1 when something is BAD, 2 when a given Redis is."""
    settings = Settings.load(os.environ)
    redis = check_redis(settings)
    checks = [
        check_python(),
        check_compiled(),
        redis,
        *check_ports(settings),
        check_data_dir(settings),
        check_api(address),
    ]
    if as_json:
        click.echo(json.dumps({"checks": [{"name": c.name, "ok": c.ok, "found": c.found} for c in checks]}))
    else:
        for check in checks:
            mark = {True: "ok", False: "BAD", None: "-"}[check.ok]
            click.echo(terminal.folded(f"{mark:>3}  {check.name}: {check.found}"))
    if settings.redis_url and redis.ok is False:
        return TROUBLE
    return NO if any(check.ok is False for check in checks) else YES
