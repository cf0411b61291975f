"""The command line: one word per act, the same exit codes for every command.

0 yes (valid, healthy, promoted) - 1 no (invalid files, not allowed now, rolled back) - 2 trouble (usage, an unknown
name, nobody answers, a crash) - 3 not decided. Answers go to stdout, progress and questions to stderr; ``--json`` gives one object instead of prose.

Commands that read or steer experiments speak to the API over HTTP, as any other user would; only ``gateway``, ``api``,
``controller``, ``up``, ``demo`` and ``doctor`` start or look at processes. Each command's module is imported when the
command is called, so that ``pointsman status`` loads neither numpy nor Flask.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from difflib import get_close_matches

import click

from router import __version__
from router.cli.exits import TROUBLE, exit_of_problem
from router.errors import PointsmanError, SpecError

# The table of commands: name -> (module, what it does). A new command is one row and its function.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Everything real on this machine: watch one model promoted and one rolled back."),
    "init": ("init", "Write a route and an experiment for your own two model servers."),
    "up": ("processes", "Run gateway, API and controller on this machine until Ctrl-C."),
    "validate": ("files", "Check files; all problems at once, each with its line."),
    "plan": ("files", "Show what apply would change, and which traffic would move."),
    "estimate": ("estimate", "Before the start: how long it takes, and how likely each verdict is."),
    "degradation": ("degradation", "After a promotion: whether the rate of an event has slowly risen."),
    "apply": ("files", "Make the files true; starts new experiments."),
    "status": ("experiments", "All experiments, or one; gateways and what they run."),
    "verdict": ("experiments", "What the evidence says, with every number."),
    "history": ("experiments", "Who or what changed the experiment, when and why."),
    "promote": ("experiments", "Make the treatment the default arm now."),
    "rollback": ("experiments", "Give everyone the control now."),
    "pause": ("experiments", "Let no step go on; harm still rolls back."),
    "resume": ("experiments", "Go on after a pause, or after the deadline has held it."),
    "roll": ("experiments", "Declare that an arm was retrained or rebuilt: a new stratum of the same run."),
    "explain": ("flags", "Which arm a unit gets, and each step of why."),
    "simulate-assignment": ("flags", "How a list of units would be dealt now."),
    "kill": ("flags", "Give an arm's units the default arm at once; without --arm, everyone."),
    "unkill": ("flags", "Take a kill switch back."),
    "force": ("flags", "A signed word that forces an arm for testing."),
    "delete": ("flags", "Take a route away; the plan is shown first, and rollback-flag brings it back."),
    "rollback-flag": ("flags", "Make an earlier revision of a route's flag the present one."),
    "export": ("flags", "Everything that is applied, as files that apply takes back unchanged."),
    "layers": ("flags", "Who owns what of each layer, and which experiments meet in one unit."),
    "gateway": ("processes", "Run the gateway alone."),
    "api": ("processes", "Run the API and the dashboard alone."),
    "controller": ("processes", "Run the controller alone."),
    "doctor": ("doctor", "Check this machine: Python, Redis, addresses, files."),
    "version": ("experiments", "The version of this program."),
}


class Commands(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table: the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for a name that is not in the table."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"router.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown name is answered with the nearest known one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" - did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no command '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table itself, so that ``--help`` imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pointsman")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
def pointsman(debug: bool) -> None:
    """A/B testing and canary releases for machine-learned models.

    Exit codes of every command: 0 yes, 1 no, 2 trouble, 3 not decided.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; an unexpected error is trouble (2), never a 'no' (1)."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        result = pointsman.main(words, prog_name="pointsman", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("pointsman: interrupted", err=True)
        sys.exit(TROUBLE)
    except click.ClickException as problem:
        problem.show()
        sys.exit(TROUBLE)
    except PointsmanError as problem:
        click.echo(str(problem) if isinstance(problem, SpecError) else f"pointsman: {problem}", err=True)
        sys.exit(exit_of_problem(problem))
    except Exception as problem:  # noqa: BLE001 - the last door: a crash must not look like a 'no'
        if "--debug" in words:
            traceback.print_exc()
        click.echo(
            f"pointsman: unexpected {type(problem).__name__}: {problem} (--debug shows where)", err=True
        )
        sys.exit(TROUBLE)
    sys.exit(result if isinstance(result, int) else 0)
