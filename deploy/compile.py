"""Compiles the modules on the way of a request into a copy of the package, by mypyc.

The sources stay the truth: what is compiled is the same Python, checked by the same types, in a folder of its own.

    ./run compile FOLDER
    PYTHONPATH=FOLDER pointsman gateway

It needs a C compiler and Python's headers. A folder that holds what the sources are now is left as it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent
STAMP = "compiled"
# A module stands here when requests pass through it, and nothing in it is made by a metaclass or a decorator.
GATEWAY = (
    "arm", "asked", "attempts", "breaker", "client", "connection", "counters", "deciding", "endpoint", "exchange", "facts", "fields", "head", "identify",
    "parts", "plane", "pool", "reading", "receiver", "recorder", "reports", "routing", "run_buffer", "run_count", "running", "sending", "shadowing", "shape",
    "snapshot", "table", "ticket", "turn", "upstream",
)  # fmt: skip
FLOOR = ("assignment", "bucketing", "decision_id", "event_rows", "sticky")
MODULES = (*(f"router/gateway/{name}.py" for name in GATEWAY), *(f"router/{name}.py" for name in FLOOR))
SETUP = """from mypyc.build import mypycify
from setuptools import setup
setup(name="pointsman-compiled", packages=[], ext_modules=mypycify({modules!r} + ["--follow-imports=silent"]))
"""


def digest() -> str:
    """What the sources, the interpreter and this list are."""
    state = hashlib.sha256(repr((sys.version, MODULES)).encode())
    for path in sorted((ROOT / "router").rglob("*.py")):
        state.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def missing() -> str | None:
    """What is lacking for a build, in words; None when nothing is."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ('{compiler}'; on Debian: apt-get install gcc)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers (on Debian: apt-get install python3-dev)"
    return None


def build(folder: Path) -> None:
    """Fill a folder, unless it holds what the sources are now.

    Raises:
        RuntimeError: it is not ours, something is lacking, or the build failed.
    """
    stamp, wanted = folder / STAMP, digest()
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise RuntimeError(f"{folder}: expected an empty folder or one made by this command")
    if stamp.exists() and stamp.read_text() == wanted:
        return
    lacking = missing()
    if lacking is not None:
        raise RuntimeError(f"nothing was compiled: expected {lacking}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "router", folder / "router", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "setup.py").write_text(SETUP.format(modules=list(MODULES)))
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the build failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    shutil.rmtree(folder / "build")
    stamp.write_text(wanted)


def main() -> int:
    """0 when the folder holds the compiled package, else 2."""
    if len(sys.argv) != 2:
        print("usage: ./run compile FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1]).absolute()
    try:
        build(folder)
    except RuntimeError as problem:
        print(f"compile: {problem}", file=sys.stderr)
        return 2
    print(f"compiled {len(MODULES)} modules; use them with PYTHONPATH={folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
