"""``pointsman init``: a route and an experiment for two model servers, written only when they are valid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from router.address import Address
from router.cli.exits import YES
from router.errors import PointsmanError

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
experiment: {own}
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


def scalar(text: str) -> str:
    """Text as YAML reads it back: quoted where a plain word would mean something else inside ``{}``."""
    return text if re.fullmatch(r"[\w./~+=-]+(:[\w./~+=-]+)*", text) else json.dumps(text)


@click.command()
@click.option("--control", required=True, metavar="URL", help="The model server in production.")
@click.option("--treatment", required=True, metavar="URL", help="The model server under test.")
@click.option("--name", default="model", show_default=True, help="The route's name.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("."), help="Where to write the two files."
)
def init(control: str, treatment: str, name: str, folder: Path) -> int:
    """Write a route and an experiment for your own two model servers."""
    from router.document import load_all
    from router.files import parse_documents

    for option, url in (("--control", control), ("--treatment", treatment)):
        try:
            Address.parse(url)
        except ValueError:
            expected = "a URL such as http://127.0.0.1:9001"
            raise click.UsageError(f"{option}: expected {expected}, found {url!r}") from None
    arms = {"control": scalar(control), "treatment": scalar(treatment)}
    texts = {
        folder / "route.yaml": ROUTE_TEMPLATE.format(name=scalar(name), **arms),
        folder / "experiment.yaml": EXPERIMENT_TEMPLATE.format(
            name=scalar(name), own=scalar(f"{name}-treatment")
        ),
    }
    parse_documents(load_all((str(path), text) for path, text in texts.items()))
    taken = [str(path) for path in texts if path.exists()]
    if taken:
        raise PointsmanError(f"{', '.join(taken)} already there: nothing was written; name another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo(f"next: pointsman up {' '.join(str(path) for path in texts)}")
    return YES
