"""The commands that begin with a file: validate, plan, apply, init."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from router.cli.client import api_of
from router.cli.exits import NO, YES
from router.errors import PointsmanError, Problem, SpecError

api_option = click.option("--api", "address", metavar="URL", help="Where the API is.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of prose.")
files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))


def read_files(files: tuple[Path, ...]) -> list[dict[str, str]]:
    """Names and texts; a folder stands for the YAML files in it."""
    paths: list[Path] = []
    for path in files:
        paths += sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    texts, problems = [], []
    for path in paths:
        try:
            texts.append({"name": str(path), "text": path.read_text(encoding="utf-8")})
        except (OSError, UnicodeDecodeError) as problem:
            problems.append(
                Problem(path="", expected="a readable YAML file", found=str(problem), file=str(path))
            )
    if problems or not texts:
        raise SpecError(
            tuple(problems) or (Problem("", "at least one YAML file", "none", file=str(files[0])),)
        )
    return texts


@click.command()
@files_argument
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> int:
    """Check files; all problems at once, each with its line."""
    from router.document import load
    from router.files import KINDS, parse_documents

    try:
        documents = [document for file in read_files(files) for document in load(file["text"], file["name"])]
        files_read = parse_documents(documents)
    except SpecError as problem:
        click.echo(json.dumps(problem.detail()) if as_json else str(problem))
        return NO
    counts = {f"{kind}s": len(files_read.of(kind)) for kind in KINDS}
    if as_json:
        click.echo(json.dumps({"valid": True, **counts}))
    else:
        shown = [f"{n} {kind}" for kind, n in counts.items() if n or kind in ("routes", "experiments")]
        click.echo(f"valid: {', '.join(shown)}")
    return YES


def submit(address: str | None, files: tuple[Path, ...], reason: str, *, dry_run: bool) -> dict[str, Any]:
    """Send the files to the API and return its plan."""
    document = {"files": read_files(files), "actor": getpass.getuser(), "reason": reason}
    answer: dict[str, Any] = api_of(address).post("/v1/apply?dry_run=1" if dry_run else "/v1/apply", document)
    return answer


@click.command()
@files_argument
@click.option("--exit-code", is_flag=True, help="Exit 1 when there is something to change.")
@api_option
@json_option
def plan(files: tuple[Path, ...], exit_code: bool, address: str | None, as_json: bool) -> int:
    """Show what apply would change, and which traffic would move."""
    answer = submit(address, files, "", dry_run=True)
    click.echo(json.dumps(answer) if as_json else answer["text"])
    pending = any(change["action"] != "nothing" for change in answer["changes"])
    return NO if exit_code and pending else YES


@click.command()
@files_argument
@click.option("--reason", default="", help="Kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Plan only.")
@api_option
@json_option
def apply(files: tuple[Path, ...], reason: str, dry_run: bool, address: str | None, as_json: bool) -> int:
    """Make the files true; starts new experiments."""
    answer = submit(address, files, reason, dry_run=dry_run)
    click.echo(json.dumps(answer) if as_json else answer["text"])
    return YES


ROUTE_TEMPLATE = """\
# A route: which requests, which unit they belong to, which arms may serve them.
# It outlives experiments; between them the default arm serves.
route: {name}
match: {{path: /}}
unit: {{kind: person, from: [header:x-person, cookie:pm_unit], on_missing: control}}
arms:
  control: {{upstream: {control}}}
  treatment: {{upstream: {treatment}}}
default: control
"""

EXPERIMENT_TEMPLATE = """\
# An experiment: what we want to learn about the treatment, and what we will do when we know.
experiment: {name}-treatment
route: {name}
kind: canary                     # canary: shown to be not worse; ab: shown to be better
control: control
treatment: treatment
goal: {{metric: corrected, kind: proportion, better: lower, mde: 2 pp, window: 1 h, grace: 1 min, absent: missing}}
guardrails:
  - {{metric: errors, margin: 1 pp}}               # built in: units with a failed request
  - {{metric: slow, over: 300 ms, margin: 5 pp}}   # built in: units with a slow request
ramp: [25%]                      # of traffic; everyone is enrolled, so your first request is analysed
alpha: {{promote: 5%, harm: 1%}}
deadline: 7 d
"""


@click.command()
@click.option("--control", required=True, metavar="URL", help="The model server in production.")
@click.option("--treatment", required=True, metavar="URL", help="The model server under test.")
@click.option("--name", default="model", show_default=True, help="The route's name.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("."), help="Where to write the two files."
)
def init(control: str, treatment: str, name: str, folder: Path) -> int:
    """Write a route and an experiment for your own two model servers."""
    for option, url in (("--control", control), ("--treatment", treatment)):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise click.UsageError(f"{option}: expected a URL such as http://127.0.0.1:9001, found {url!r}")
    texts = {
        folder / "route.yaml": ROUTE_TEMPLATE.format(name=name, control=control, treatment=treatment),
        folder / "experiment.yaml": EXPERIMENT_TEMPLATE.format(name=name),
    }
    taken = [str(path) for path in texts if path.exists()]
    if taken:
        raise PointsmanError(f"{', '.join(taken)} already there: nothing was written; name another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo(f"next: pointsman up {' '.join(str(path) for path in texts)}")
    return YES
