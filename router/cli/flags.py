"""The commands about flags as they stand: who gets what and why, kill switches, forced arms, layers."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from router.cli import render
from router.cli.client import api_of
from router.cli.exits import NO, YES
from router.cli.files import api_option, json_option

attribute_option = click.option(
    "--attribute",
    "-a",
    "stated",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute; repeat it for a list.",
)


def _pairs(stated: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for text in stated:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--attribute: expected NAME=VALUE, found {text!r}")
        pairs.append((name, value))
    return pairs


def _show(answer: Any, text: str, as_json: bool) -> int:
    click.echo(json.dumps(answer) if as_json else text)
    return YES


@click.command()
@click.option("--unit", required=True, help="The unit's identity, as the gateway would read it.")
@click.option("--route", help="The route; needed only when there are several.")
@click.option("--experiment", "-e", help="Or an experiment of the route.")
@attribute_option
@api_option
@json_option
def explain(
    unit: str,
    route: str | None,
    experiment: str | None,
    stated: tuple[str, ...],
    address: str | None,
    as_json: bool,
) -> int:
    """Which arm a unit gets, and each step of why."""
    api = api_of(address)
    attributes = [(f"attr.{name}", value) for name, value in _pairs(stated)]
    if experiment:
        questions = [("experiment", experiment)]
    else:
        names = [route] if route else [row["route"] for row in api.get("/v1/routes")["routes"]]
        questions = [("route", name) for name in names]
    answers = [
        api.get("/v1/explain?" + urlencode([question, ("unit", unit), *attributes])) for question in questions
    ]
    texts = [
        f"{answer['route']}: unit {unit!r} gets arm {answer['arm']} ({answer['reason']})\n{render.steps(answer['steps'])}"
        for answer in answers
    ]
    return _show({"answers": answers}, "\n\n".join(texts) or "no routes yet", as_json)


@click.command(name="simulate-assignment")
@click.argument("route")
@click.option(
    "--units",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One unit a line; standard input without it.",
)
@attribute_option
@api_option
@json_option
def simulate_assignment(
    route: str, file: Path | None, stated: tuple[str, ...], address: str | None, as_json: bool
) -> int:
    """How a list of units would be dealt now. Nothing is recorded."""
    text = file.read_text(encoding="utf-8") if file else sys.stdin.read()
    units = [line for line in text.splitlines() if line]
    if not units:
        raise click.UsageError("expected units, one a line, found none")
    attributes: dict[str, list[str]] = {}
    for name, value in _pairs(stated):
        attributes.setdefault(name, []).append(value)
    body = {"units": units, "attributes": attributes}
    answer = api_of(address).post(f"/v1/routes/{quote(route)}/simulate", body)
    return _show(answer, render.dealt(answer), as_json)


def _switch(act: str, does: str) -> click.Command:
    @click.command(name=act, help=does)
    @click.argument("route")
    @click.option("--arm", help="The arm; without it the whole flag.")
    @click.option("--reason", required=True, help="Kept in the audit log.")
    @api_option
    @json_option
    def command(route: str, arm: str | None, reason: str, address: str | None, as_json: bool) -> int:
        body = {"actor": getpass.getuser(), "reason": reason, "arm": arm}
        answer = api_of(address).post(f"/v1/routes/{quote(route)}/{act}", body)
        now = "everyone gets the default arm" if answer["kill"] else ", ".join(answer["killed"]) or "nothing"
        return _show(answer, f"{route} revision {answer['revision']}: killed now: {now}", as_json)

    return command


kill = _switch("kill", "Give an arm's units the default arm at once; without --arm, everyone.")
unkill = _switch("unkill", "Take a kill switch back.")


@click.command()
@click.argument("route")
@click.argument("arm")
@click.option("--for", "time", default="1 h", show_default=True, help="How long the word holds; at most 7 d.")
@click.option("--reason", default="testing", show_default=True, help="Kept in the audit log.")
@api_option
@json_option
def force(route: str, arm: str, time: str, reason: str, address: str | None, as_json: bool) -> int:
    """A signed word that forces an arm for testing; such requests are never analysed."""
    body = {"actor": getpass.getuser(), "reason": reason, "arm": arm, "time": time}
    answer = api_of(address).post(f"/v1/routes/{quote(route)}/force", body)
    return _show(answer, f"{answer['header']}: {answer['value']}", as_json)


@click.command()
@click.argument("route")
@click.option("--reason", default="", help="Kept in the audit log; needed unless it is a dry run.")
@click.option("--dry-run", is_flag=True, help="Plan only.")
@click.option(
    "--end-runs", is_flag=True, help="Roll back the runs that live on it; without this it is refused."
)
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nobody is asked.")
@api_option
@json_option
def delete(
    route: str, reason: str, dry_run: bool, end_runs: bool, yes: bool, address: str | None, as_json: bool
) -> int:
    """Take a route away. What goes with it is shown first; rollback-flag brings it back."""
    api, path = api_of(address), f"/v1/routes/{quote(route)}?"
    planned = api.delete(path + urlencode({"dry_run": 1}))
    if dry_run:
        return _show(planned, planned["text"], as_json)
    if not reason.strip():
        raise click.UsageError("--reason: expected why, found nothing")
    if not yes and sys.stdin.isatty():
        click.echo(planned["text"], err=True)
        if not click.confirm(f"delete {route}?", err=True):
            click.echo("nothing was done", err=True)
            return NO
    asked = {"actor": getpass.getuser(), "reason": reason, "end_runs": int(end_runs)}
    answer = api.delete(path + urlencode(asked), planned["revision"])  # what was shown is what is done
    return _show(answer, f"{answer['text']}\n{route} is deleted with revision {answer['revision']}", as_json)


@click.command(name="rollback-flag")
@click.argument("route")
@click.option("--to", "revision", type=int, required=True, help="A kept revision: one of the last 50.")
@click.option("--reason", required=True, help="Kept in the audit log.")
@api_option
@json_option
def rollback_flag(route: str, revision: int, reason: str, address: str | None, as_json: bool) -> int:
    """Make an earlier revision of a route's flag the present one."""
    body = {"actor": getpass.getuser(), "reason": reason, "to": revision}
    answer = api_of(address).post(f"/v1/routes/{quote(route)}/rollback", body)
    moves = [
        f"moves {row['ppm'] / 10_000:g} % of units from {row['from']} to {row['to']}"
        for row in answer["moves"]
    ]
    text = f"{route} revision {answer['revision']} is as revision {revision} was"
    return _show(answer, "\n".join([text, *moves]), as_json)


@click.command()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file; standard output without it.")
@api_option
@json_option
def export(output: Path | None, address: str | None, as_json: bool) -> int:
    """Everything that is applied, as one file that apply takes back unchanged."""
    answer = api_of(address).get("/v1/export")
    if output is not None:
        output.write_text(answer["text"], encoding="utf-8")
        return _show({"file": str(output)}, f"wrote {output}", as_json)
    return _show(answer, answer["text"].rstrip(), as_json)


@click.command()
@api_option
@json_option
def layers(address: str | None, as_json: bool) -> int:
    """Who owns what of each layer, and which experiments meet in one unit."""
    answer = api_of(address).get("/v1/layers")
    return _show(answer, render.layers(answer), as_json)
