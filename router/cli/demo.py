"""``pointsman demo``: everything real on this machine, and a story whose end is known."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from router.cli.exits import NO, YES
from router.cli.processes import Stop
from router.settings import LARGEST_PORT, Settings

FOLDER = Path(".pointsman") / "demo"
SCENARIOS = ("story", "aa", "no-traffic", "redis-down", "srm", "silent-feedback")


@click.command()
@click.option("--headless", is_flag=True, help="Exit 0 only if it ended as it should.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulated people.")
@click.option(
    "--port",
    type=click.IntRange(0, LARGEST_PORT),
    default=8321,
    show_default=True,
    help="Of API and dashboard; the gateway's is one below; 0 takes free ones.",
)
@click.option("--scenario", type=click.Choice(SCENARIOS), default="story", show_default=True)
def demo(headless: bool, seed: int, port: int, scenario: str) -> int:
    """Everything real on this machine: watch one model promoted and one rolled back."""
    begun = time.monotonic()
    from router.demo.run import Demo, announce
    from router.demo.screen import Screen
    from router.demo.stage import Stage
    from router.demo.story import SCENARIOS as STORIES

    overrides = {"api_bind": f"127.0.0.1:{port}", "gateway_bind": f"127.0.0.1:{max(0, port - 1)}"}
    settings = Settings.load(os.environ, None, overrides)
    stop = Stop()
    screen = Screen(plain=headless)
    try:
        with Stage(settings, STORIES[scenario], FOLDER) as stage:
            announce(screen, STORIES[scenario], stage)
            stage.start()
            screen.say(f"Dashboard {stage.api_url}/   (Ctrl-C stops everything)\n")
            play = Demo(stage, STORIES[scenario], seed, screen, begun)
            play.open()
            good = play.play(headless=headless, until=stop.asked)
    finally:
        screen.close()
    return YES if good else NO
