"""The commands that begin with a file: validate, plan, apply."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from router.cli import terminal
from router.cli.client import Api, api_of
from router.cli.exits import NO, YES, InvalidFiles
from router.errors import Problem, SpecError

api_option = click.option("--api", "address", metavar="URL", help="Where the API is.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of prose.")
files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))


def read_files(files: tuple[Path, ...]) -> list[dict[str, str]]:
    """Names and texts; a folder stands for the YAML files in it, without those that hold settings.

    Raises:
        SpecError: files that cannot be read, all of them at once, or no file at all.
    """
    paths: list[tuple[Path, bool]] = []
    for path in files:
        inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else []
        paths += [(found, True) for found in inside] if path.is_dir() else [(path, False)]
    texts, problems = [], []
    for path, found in paths:
        try:
            text = path.read_text(encoding="utf-8")
            if found and holds_settings(text):
                click.echo(f"{path}: settings, not a route or an experiment; passed over", err=True)
            else:
                texts.append({"name": str(path), "text": text})
        except (OSError, UnicodeDecodeError) as problem:
            problems.append(
                Problem(path="", expected="a readable YAML file", found=str(problem), file=str(path))
            )
    if problems or not texts:
        raise SpecError(
            tuple(problems) or (Problem("", "at least one YAML file", "none", file=str(files[0])),)
        )
    return texts


def holds_settings(text: str) -> bool:
    """Whether a file begins with a setting; one that is no YAML does not, and is complained about elsewhere."""
    from router.document import load
    from router.settings import ROWS

    try:
        documents = load(text)
    except SpecError:
        return False
    return bool(documents) and next(iter(documents[0].data), "") in ROWS


@click.command()
@files_argument
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> int:
    """Check files; all problems at once, each with its line."""
    from router.document import load_all
    from router.files import KINDS, parse_documents

    texts = read_files(files)
    try:
        files_read = parse_documents(load_all((file["name"], file["text"]) for file in texts))
    except SpecError as problem:
        click.echo(json.dumps(problem.detail()) if as_json else str(problem))
        return NO
    counts = {f"{kind}s": len(files_read.of(kind)) for kind in KINDS}
    if as_json:
        click.echo(json.dumps({"valid": True, **counts}))
    else:
        shown = [
            f"{n} {kind.removesuffix('s') if n == 1 else kind}"
            for kind, n in counts.items()
            if n or kind in ("routes", "experiments")
        ]
        click.echo(f"valid: {', '.join(shown)}")
    return YES


def submit(
    api: Api,
    texts: list[dict[str, str]],
    reason: str = "",
    *,
    dry_run: bool = False,
    expected: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Send files to the API and return its plan.

    Raises:
        InvalidFiles: they are not what they should be, or cannot be applied to what is live.
    """
    document = {
        "files": texts,
        "actor": getpass.getuser(),
        "reason": reason,
        "expected": dict(expected or {}),
    }
    try:
        answer: dict[str, Any] = api.post("/v1/apply?dry_run=1" if dry_run else "/v1/apply", document)
    except SpecError as problem:
        raise InvalidFiles(problem.problems) from problem
    return answer


@click.command()
@files_argument
@click.option("--exit-code", is_flag=True, help="Exit 1 when there is something to change.")
@api_option
@json_option
def plan(files: tuple[Path, ...], exit_code: bool, address: str | None, as_json: bool) -> int:
    """Show what apply would change, and which traffic would move."""
    answer = submit(api_of(address), read_files(files), dry_run=True)
    click.echo(json.dumps(answer) if as_json else terminal.folded(answer["text"]))
    if answer["revisions"] and not as_json:
        pairs = " ".join(f"--expect {route}={revision}" for route, revision in answer["revisions"].items())
        click.echo(f"apply this plan and no other: pointsman apply {pairs} FILES…")
    pending = any(change["action"] != "nothing" for change in answer["changes"])
    return NO if exit_code and pending else YES


def read_revisions(context: click.Context, option: click.Parameter, pairs: tuple[str, ...]) -> dict[str, int]:
    """``ROUTE=REVISION`` options as a mapping."""
    found = {}
    for pair in pairs:
        route, _, revision = pair.rpartition("=")
        if not route or not (revision.isascii() and revision.isdigit()):
            raise click.UsageError(f"--expect {pair}: expected ROUTE=REVISION")
        found[route] = int(revision)
    return found


@click.command()
@files_argument
@click.option("--reason", default="", help="Kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Plan only.")
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nobody is asked.")
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="ROUTE=REVISION",
    callback=read_revisions,
    help="Refuse when the route has another revision: what a plan has shown.",
)
@api_option
@json_option
def apply(
    files: tuple[Path, ...],
    reason: str,
    dry_run: bool,
    yes: bool,
    expected: dict[str, int],
    address: str | None,
    as_json: bool,
) -> int:
    """Make the files true; starts new experiments. On a terminal it shows its plan and asks."""
    api, texts = api_of(address), read_files(files)
    answer = submit(api, texts, dry_run=True, expected=expected)
    if not dry_run:
        if not (yes or answer["empty"]) and sys.stdin.isatty():
            click.echo(answer["text"], err=True)
            if not click.confirm("apply this?", err=True):
                click.echo("nothing was done", err=True)
                return NO
        # What was shown is what is done, or nothing: somebody else may have applied meanwhile.
        answer = submit(api, texts, reason, expected=answer["revisions"] | expected)
    click.echo(json.dumps(answer) if as_json else terminal.folded(answer["text"]))
    return YES
