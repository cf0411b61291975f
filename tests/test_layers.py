"""The architecture, held from the source: who may import whom, and what no file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = (
    "errors document telemetry settings address protocols serving bucketing quantity rules traits lanes source schedule flag assignment sticky explain "
    "moves forcing decision_id event_rows events record outcome reading moments claims metric methods ramp strict serving_keys token_keys arm conditions route metric_keys "
    "population run experiment_keys experiment files layers timetable prospect sizes forecast notes degradation change drift identity lifecycle roll prerequisites plan_lines "
    "plan_population deletion plan restore attribution health readouts weighing verdict evidence sentence decision"
).split()
# What each part may import beside the standard library and itself. "floor" is the floor; more are packages or modules.
# numpy comes with stats and is for what looks ahead; that the gateway loads neither is checked below.
FLOOR_LIBRARIES = {
    "yaml",
    "mmh3",
    "re2",
    "msgspec",
    "pydantic",
    "pydantic_core",
    "prometheus_client",
    "stats",
    "numpy",
}
MAY_IMPORT = {
    "stats": {"numpy", "scipy"},
    "router.store": {"floor", "redis", "msgspec"},
    "router.local": {"floor", "router.store", "redis"},
    "router.gateway": {
        "floor", "router.store", "router.local.parent", "gunicorn", "uvloop", "httptools", "msgspec", "redis",
        "prometheus_client", "jwt", "opentelemetry",
    },
    "router.api": {
        "floor", "router.store", "router.local.parent", "flask", "werkzeug", "gunicorn", "jinja2", "markupsafe",
        "pydantic", "redis", "msgspec", "prometheus_client", "stats", "itsdangerous",
    },
    "router.controller": {"floor", "router.store", "router.local.parent", "stats", "msgspec", "redis"},
    "router.cli": {
        "floor", "router.store", "router.local", "router.gateway", "router.api", "router.controller", "router.demo",
        "click",
    },
    "router.demo": {"floor", "router.local", "router.gateway", "router.cli", "rich", "sklearn", "numpy"},
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager", "service"}
GATEWAY_NEVER = ("flask", "pydantic", "numpy", "scipy", "stats", "router.api", "router.controller")
LONGEST_FILE = 370
LONGEST_FUNCTION = 48


def sources(root: Path) -> Iterator[Path]:
    for part in ("router", "stats"):
        yield from sorted((root / part).rglob("*.py"))


def module_of(path: Path, root: Path) -> str:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Imported modules with their level; what is only for the type checker does not count."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base, node.level
            yield from (
                (f"{base}.{alias.name}", node.level) for alias in node.names if base in ("router", "stats")
            )


def part_of(module: str) -> str:
    if module == "router.__main__":
        return "router.cli"
    if module.startswith("stats"):
        return "stats"
    pieces = module.split(".")
    return ".".join(pieces[:2]) if len(pieces) > 1 and ".".join(pieces[:2]) in MAY_IMPORT else "floor"


def allowed(part: str, target: str) -> bool:
    if target.split(".")[0] in sys.stdlib_module_names or target in ("router", "stats", "router.errors"):
        return True
    if target == part or target.startswith(part + "."):
        return True
    may = MAY_IMPORT.get(part, FLOOR_LIBRARIES)
    if target.startswith("router.") and part_of(target) == "floor":
        return "floor" in may or part == "floor"
    return any(target == name or target.startswith(name + ".") for name in may)


def violations(root: Path) -> list[str]:
    found = []
    for path in sources(root):
        module, tree = module_of(path, root), ast.parse(path.read_text())
        part = part_of(module)
        for target, level in imports(tree):
            if level:
                found.append(f"{module}: relative import")
            elif not allowed(part, target):
                found.append(f"{module} ({part}) may not import {target}")
            elif part == "floor" and target.startswith("router.") and module.startswith("router."):
                found += to_the_right(module, target)
    return found


def to_the_right(module: str, target: str) -> list[str]:
    here, there = module.split(".")[1], target.split(".")[1]
    if here.startswith("__") or there not in FLOOR:
        return []
    if here not in FLOOR:
        return [f"{module}: a floor file without a place in FLOOR"]
    if FLOOR.index(there) > FLOOR.index(here):
        return [f"{module} imports {target}, which stands to its right"]
    return []


def test_nobody_imports_what_its_layer_may_not() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("router/gateway/x.py", "import router.api.app"),
        ("router/gateway/x.py", "import numpy"),
        ("stats/x.py", "import redis"),
        ("router/bucketing.py", "from router.decision import decide"),
        ("router/flag.py", "from . import errors"),
        ("router/novel.py", "from router.flag import Flag"),
        ("router/controller/x.py", "from flask import Flask"),
    ],
)
def test_a_seeded_violation_is_seen(tmp_path: Path, path: str, text: str) -> None:
    place = tmp_path / path
    place.parent.mkdir(parents=True)
    place.write_text(text)
    assert violations(tmp_path)


def test_every_floor_file_has_its_place() -> None:
    files = {path.stem for path in (ROOT / "router").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(FLOOR)


def test_every_floor_file_is_explained_in_the_documentation() -> None:
    table = [row for row in (ROOT / "router" / "README.md").read_text().splitlines() if row.startswith("| `")]
    named = {name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(FLOOR) - named == set()


def test_keys_are_spelled_in_one_file() -> None:
    spelling = [p for p in sources(ROOT) if "{flags}" in p.read_text() and p.name not in ("keys.py",)]
    assert [str(p) for p in spelling] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(p) for p in sources(ROOT) if p.stem in FORBIDDEN_NAMES] == []


def test_files_stay_short() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in sources(ROOT)
        if (n := len(p.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_functions_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources(ROOT)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize(
    "folder", ["router", "router/store", "router/gateway", "router/api", "router/controller", "stats"]
)
def test_each_folder_says_what_may_never_happen_there(folder: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
    assert len(docstring) > 80


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "config",
        "stats",
        "router",
        "router/store",
        "router/gateway",
        "router/api",
        "router/controller",
        "deploy",
    ],
)
def test_each_folder_has_its_documentation(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text()) > 400


def test_the_gateway_process_loads_nothing_it_may_not() -> None:
    modules = [module_of(p, ROOT) for p in sorted((ROOT / "router" / "gateway").glob("*.py"))]
    program = f"import sys, {', '.join(modules)}; print('\\n'.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = run.stdout.splitlines()
    assert [
        m for m in loaded if any(m == never or m.startswith(never + ".") for never in GATEWAY_NEVER)
    ] == []
