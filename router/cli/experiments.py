"""The commands that read and steer experiments, all through the API."""

from __future__ import annotations

import getpass
import json
from typing import Any
from urllib.parse import quote

import click

from router import __version__
from router.cli import render, terminal
from router.cli.client import api_of
from router.cli.exits import NO, NOT_DECIDED, YES
from router.cli.files import api_option, json_option

VERDICT_EXITS = {"promoted": YES, "rolled_back": NO}


def exit_of(state: str, verdict: str | None) -> int:
    """The answer as an exit code: a final state speaks first, then what the evidence says."""
    if state in VERDICT_EXITS:
        return VERDICT_EXITS[state]
    return {"better": YES, "equivalent": YES, "worse": NO}.get(verdict or "", NOT_DECIDED)


def show(answer: Any, text: str, as_json: bool) -> None:
    """The answer as one JSON object, or as prose."""
    click.echo(json.dumps(answer) if as_json else terminal.folded(text))


@click.command()
@click.argument("experiment", required=False)
@api_option
@json_option
def status(experiment: str | None, address: str | None, as_json: bool) -> int:
    """All experiments, or one; gateways and what they run."""
    api = api_of(address)
    if experiment:
        answer = api.get(f"/v1/experiments/{quote(experiment)}")
        run = answer["run"]
        text = f"{experiment}: {run['state']} - {answer['sentence']}"
        show(answer, text, as_json)
        return exit_of(run["state"], run.get("verdict"))
    answer = {"experiments": api.get("/v1/experiments")["experiments"], **api.get("/v1/status")}
    lines = [render.experiments(answer["experiments"]) if answer["experiments"] else "no experiments yet", ""]
    latest = answer.get("store", {}).get("change", 0)
    lines += [line for gateway in answer.get("gateways", []) for line in render.gateway(gateway, latest)]
    lines += [f"file behind: {line}" for line in answer.get("behind", [])]
    show(answer, "\n".join(lines).rstrip(), as_json)
    return YES if answer.get("gateways") else NOT_DECIDED


@click.command()
@click.argument("experiment")
@api_option
@json_option
def verdict(experiment: str, address: str | None, as_json: bool) -> int:
    """What the evidence says, with every number. Exits 0 promote, 1 roll back, 3 not decided."""
    answer = api_of(address).get(f"/v1/experiments/{quote(experiment)}/verdict")
    show(answer, render.verdict(answer), as_json)
    return exit_of(answer["state"], answer.get("verdict"))


@click.command()
@click.argument("experiment")
@api_option
@json_option
def history(experiment: str, address: str | None, as_json: bool) -> int:
    """Who or what changed the experiment, when and why."""
    answer = api_of(address).get(f"/v1/experiments/{quote(experiment)}/history")
    show(answer, render.history(answer["entries"]), as_json)
    return YES


def _act(action: str, does: str) -> click.Command:
    @click.command(name=action, help=does)
    @click.argument("experiment")
    @click.option("--reason", required=True, help="Kept in the audit log.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @api_option
    @json_option
    def command(experiment: str, reason: str, yes: bool, address: str | None, as_json: bool) -> int:
        api = api_of(address)
        before = api.get(f"/v1/experiments/{quote(experiment)}")
        if not yes:
            click.echo(f"{experiment} is {before['run']['state']}: {before['sentence']}", err=True)
            if not click.confirm(f"{action} {experiment}?", err=True):
                click.echo("nothing was done", err=True)
                return NO
        answer = api.post(
            f"/v1/experiments/{quote(experiment)}/{action}", {"actor": getpass.getuser(), "reason": reason}
        )
        show(answer, str(answer.get("sentence") or f"{experiment}: {action} done"), as_json)
        return YES

    return command


promote = _act("promote", "Make the treatment the default arm now.")
rollback = _act("rollback", "Give everyone the control now.")
pause = _act("pause", "Let no step go on; harm still rolls back.")
resume = _act("resume", "Go on after a pause, or after the deadline has held it.")


@click.command()
@click.argument("experiment")
@click.option("--arm", required=True, help="The arm that is another build of itself from now on.")
@click.option(
    "--declares", default="", metavar="NAME", help="What its answers say that they come from, from now on."
)
@click.option("--reason", required=True, help="Kept in the audit log.")
@api_option
@json_option
def roll(experiment: str, arm: str, declares: str, reason: str, address: str | None, as_json: bool) -> int:
    """Declare that an arm was retrained or rebuilt: a new stratum of the same run."""
    answer = api_of(address).post(
        f"/v1/experiments/{quote(experiment)}/roll",
        {"actor": getpass.getuser(), "reason": reason, "arm": arm, "declares": declares},
    )
    show(answer, answer["sentence"], as_json)
    return YES


@click.command()
def version() -> int:
    """The version of this program."""
    click.echo(f"pointsman {__version__}")
    return YES
