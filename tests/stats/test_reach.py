"""A method that nothing reaches is not shipped: every public function of stats is reached from the router.

Array forms are reached from the simulations and measurements of what the scalar ones promise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ARRAY_FORMS = ("log_evalues", "differences")
Name = tuple[str, str]  # a module of stats, and what stands at its top


def trees(part: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / part).rglob("*.py")):
        yield path.stem, ast.parse(path.read_text())


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def imported(tree: ast.Module) -> tuple[dict[str, str], dict[str, Name]]:
    """Modules of stats by their name in a file, and what is taken from them by its name there."""
    modules: dict[str, str] = {}
    names: dict[str, Name] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        package, _, module = (node.module or "").partition(".")
        for alias in node.names if package == "stats" else ():
            if module:
                names[alias.asname or alias.name] = (module, alias.name)
            else:
                modules[alias.asname or alias.name] = alias.name
    return modules, names


def used(node: ast.AST, modules: dict[str, str], names: dict[str, Name]) -> Iterator[Name]:
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in modules:
            yield modules[part.value.id], part.attr
        elif isinstance(part, ast.Name) and part.id in names:
            yield names[part.id]


def used_in(part: str) -> Iterator[Name]:
    for _, tree in trees(part):
        yield from used(tree, *imported(tree))


def inside() -> tuple[set[Name], dict[Name, set[Name]]]:
    """The public functions of stats, and what everything there uses of stats."""
    public: set[Name] = set()
    uses: dict[Name, set[Name]] = {}
    for module, tree in trees("stats"):
        modules, names = imported(tree)
        names |= {name: (module, name) for node in tree.body for name in defined(node)}
        for node in tree.body:
            for name in defined(node):
                uses[module, name] = set(used(node, modules, names))
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                public.add((module, node.name))
    return public, uses


def test_every_public_function_is_reached() -> None:
    public, uses = inside()
    reached: set[Name] = set()
    measured = [*used_in("tests/simulate"), *used_in("tests/bench")]
    ahead = [*used_in("router"), *(name for name in measured if name[1] in ARRAY_FORMS)]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += uses.get(name, ())
    assert len(public & reached) > 100
    assert sorted(public - reached) == []
