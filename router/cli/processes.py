"""The commands that run processes: one role each, or all of them on this machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from router.cli.client import Api
from router.cli.exits import NO, TROUBLE, YES
from router.cli.files import read_files, submit
from router.document import Document, load
from router.errors import Problem, SpecError
from router.run import NOT_READY
from router.settings import Settings, require_token

settings_option = click.option(
    "--settings",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A YAML file of settings.",
)
set_option = click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="One setting; may be repeated."
)
WATCH_EVERY_S = 0.2
ARMS_WITHIN_S = 3.0


def load_settings(file: Path | None, pairs: tuple[str, ...], **overrides: Any) -> Settings:
    """Settings from file, environment and flags, in this order of growing weight.

    Raises:
        SpecError: the file is no YAML or holds more than one document; a name or a value is not what it should be.
    """
    document = read_settings(file) if file else None
    flags: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set {pair}: expected NAME=VALUE")
        flags[name] = value
    flags |= {name: value for name, value in overrides.items() if value is not None}
    return Settings.load(os.environ, document, flags)


def read_settings(file: Path) -> Document | None:
    """The one document of a file of settings; None when it is empty."""
    (text,) = read_files((file,))
    documents = load(text["text"], text["name"])
    if len(documents) > 1:
        raise SpecError([Problem("", "one document", str(len(documents)), file=str(file))])
    return documents[0] if documents else None


def run_role(serve: Callable[[Settings], None], settings: Settings) -> int:
    """Serve until the end; gunicorn ends this process with codes of its own, and all but 0 are trouble."""
    pid = os.getpid()
    try:
        serve(settings)
    except SystemExit as end:
        if os.getpid() != pid or not end.code:  # a worker's code is for its master
            raise
        return TROUBLE
    return YES


@click.command()
@settings_option
@set_option
@click.option("--bind", "gateway_bind", metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--check",
    is_flag=True,
    help="Only say what stands in the way of a start; exit 1 if anything does, 2 for a setting that cannot be read.",
)
def gateway(file: Path | None, pairs: tuple[str, ...], gateway_bind: str | None, check: bool) -> int:
    """Run the gateway alone."""
    settings = load_settings(file, pairs, gateway_bind=gateway_bind)
    if check:
        from router.gateway.checking import problems

        found = problems(settings)
        click.echo("\n".join(map(str, found)) or "nothing stands in the way")
        return NO if found else YES
    from router.gateway.app import serve

    return run_role(serve, settings)


@click.command()
@settings_option
@set_option
@click.option("--bind", "api_bind", metavar="HOST:PORT", help="Where to listen.")
def api(file: Path | None, pairs: tuple[str, ...], api_bind: str | None) -> int:
    """Run the API and the dashboard alone."""
    from router.api.app import serve

    return run_role(serve, load_settings(file, pairs, api_bind=api_bind))


@click.command()
@settings_option
@set_option
def controller(file: Path | None, pairs: tuple[str, ...]) -> int:
    """Run the controller alone."""
    from router.controller.loop import serve

    return run_role(serve, load_settings(file, pairs))


class Stop:
    """Set by SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._event.set()

    def asked(self) -> bool:
        """Whether it is time to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait a while; True when it is time to end."""
        return self._event.wait(seconds)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@settings_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="First line: one JSON object with the addresses.")
def up(files: tuple[Path, ...], file: Path | None, pairs: tuple[str, ...], as_json: bool) -> int:
    """Run gateway, API and controller on this machine until Ctrl-C."""
    from router.local.stack import Stack

    settings = load_settings(file, pairs)
    texts = read_files(files) if files else []
    for name in ("gateway_bind", "api_bind"):
        require_token(name, getattr(settings, name), settings.token)
    stop = Stop()
    with Stack(settings, Path(settings.data_dir)) as stack:
        stack.start()
        for note in stack.notes:
            click.echo(note, err=True)
        stack.wait()
        if texts:
            api = Api(stack.api_url, settings.token)
            click.echo(submit(api, texts, "pointsman up")["text"], err=True)
            for name in wait_for_arms(api, stop):
                click.echo(f"{name} has not begun: its treatment is not ready yet", err=True)
        if as_json:
            click.echo(json.dumps(stack.addresses()))
        else:
            click.echo(
                f"gateway    {stack.gateway_url}\ndashboard  {stack.api_url}/\nCtrl-C stops everything"
            )
        return watch(stack.group.ended, stop, stack.mend_redis)


def wait_for_arms(api: Api, stop: Stop) -> list[str]:
    """Give ready treatments the moment that their probe takes, so that the first request is analysed; who still waits."""
    deadline = time.monotonic() + ARMS_WITHIN_S
    while True:
        rows = api.get("/v1/experiments")["experiments"]
        waiting = [
            str(row["experiment"]) for row in rows if row["state"] == "held" and row["reason"] == NOT_READY
        ]
        if not waiting or stop.wait(WATCH_EVERY_S) or time.monotonic() > deadline:
            return waiting


def watch(ended: Callable[[], dict[str, int]], stop: Stop, mend: Callable[[], bool]) -> int:
    """Wait for the end: asked for (0), or a process that ended by itself (2)."""
    while not stop.wait(WATCH_EVERY_S):
        if mend():
            click.echo("Redis was gone; it is started again on its own data", err=True)
        for name, code in ended().items():
            click.echo(f"{name} ended by itself with {code}: stopping everything", err=True)
            return TROUBLE
    return YES
