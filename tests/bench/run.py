"""Runs the benches beside this file, one after another: all, or those that are named; options go to each of them.

A bench is a script of its own that prints a table and, as its last line, the same as JSON; that line is kept in
``out/NAME.json``. A bench that cannot run here says why and ends with 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BENCHES = sorted(path.stem for path in HERE.glob("[a-z]*.py") if path.stem != "run")


def run(name: str, options: list[str]) -> int:
    """One bench; its lines appear as it prints them."""
    print(f"== {name}", flush=True)
    last = ""
    command = [
        sys.executable,
        "-P",
        str(HERE / f"{name}.py"),
        *options,
    ]  # -P: stats is the package, not the bench
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as bench:
        for line in bench.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    if bench.returncode == 0 and last.startswith("{"):
        (HERE / "out").mkdir(exist_ok=True)
        (HERE / "out" / f"{name}.json").write_text(json.dumps(json.loads(last), indent=2) + "\n")
    return bench.returncode


def main() -> int:
    """0 when all ran."""
    words = sys.argv[1:]
    first = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:first], words[first:]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: expected one of {', '.join(BENCHES)}, found {', '.join(unknown)}", file=sys.stderr)
        return 2
    failed = [name for name in names or BENCHES if run(name, options)]
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
