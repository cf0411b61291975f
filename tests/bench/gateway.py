"""What one hop through the gateway costs, beside others: every row of the table in its README, reported, never asserted.

``./run bench gateway [--row NAME]… [--plain] [--write]``. Measured is the gateway as production should run it, with the
modules on the way of a request compiled; in plain Python where they cannot be, or with ``--plain``. ``--write`` puts the table into ``router/gateway/README.md``; rows that
are not measured now stand there as they were last. The row ``soak`` (memory over very many requests, REQUESTS of them)
takes ten minutes and more, and is measured only when it is named. ROUNDS says how many rounds there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.bench.hop import page  # noqa: E402 - the tests' folder is no installed package
from tests.bench.hop.proxies import MissingError  # noqa: E402
from tests.bench.hop.rounds import ROUNDS, Figure  # noqa: E402
from tests.bench.hop.rows import ROWS, Row  # noqa: E402
from tests.bench.hop.stage import Stage  # noqa: E402
from tests.bench.hop.targets import CORES  # noqa: E402

KEPT = Path(__file__).parent / "out" / "gateway.json"
BUSY = 0.5  # load per core before the start, from which on the figures are called noisy


def compiled() -> str:
    """The folder of the compiled package, made if need be; empty, with a word, where it cannot be."""
    folder = ROOT / "build" / "compiled"
    command = [sys.executable, str(ROOT / "deploy" / "compile.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip())
    return "" if done.returncode else str(folder)


def machine(package: str) -> str:
    """On what it was measured; a busy machine is told of."""
    load = os.getloadavg()[0]
    noisy = f"; **noisy: other work kept {load:.1f} processes running**" if load > BUSY * len(CORES) else ""
    code = "compiled" if package else "plain Python"
    whose = "the system's" if sys.base_prefix == "/usr" else "an own build"
    return f"{code}, {len(CORES)} cores, Python {platform.python_version()} ({whose}), {ROUNDS} rounds, {time.strftime('%Y-%m-%d')}{noisy}"


def measure(stage: Stage, row: Row, where: str) -> dict[str, Any]:
    """A row's figures; without a value and with a word where something is not installed."""
    begun = time.monotonic()
    try:
        figures = row.measure(stage)
    except MissingError as problem:
        figures = [Figure(None, note=f"skipped: {problem}")] * len(row.lines)
    taken = {"figures": [asdict(figure) for figure in figures], "where": where}
    print(f"{row.name} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(page.for_terminal({row.name: taken}), flush=True)
    return taken


def chosen() -> tuple[list[Row], bool, bool]:
    """What the command line asks for."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="./run bench gateway", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--row", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--plain", action="store_true", help="measure plain Python")
    parser.add_argument("--write", action="store_true", help="put the table into router/gateway/README.md")
    options = parser.parse_args()
    wanted = options.row or [row.name for row in ROWS if not row.asked]
    return [row for row in ROWS if row.name in wanted], options.plain, options.write


def main() -> None:
    """The table, then all that is kept as JSON."""
    rows, plain, writing = chosen()
    if len(CORES) < 2:
        print("skipped: two cores are needed, one for the measured and one for the load")
        return
    package = "" if plain else compiled()
    where = machine(package)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        try:
            stage = Stage(Path(folder), package)
        except MissingError as problem:
            print(f"skipped: {problem}")
            return
        with stage:
            kept |= {row.name: measure(stage, row, where) for row in rows}
    print(page.for_terminal(kept))
    if writing:
        page.write(kept)
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
