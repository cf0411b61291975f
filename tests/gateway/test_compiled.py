"""The compiled copy of the package: what may stand in it, when it is made, and that it serves as the sources do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually

ROOT = Path(__file__).parent.parent.parent
NEVER = {"Struct", "dataclass", "BaseModel"}  # what a compiler of classes would take for its own


@pytest.fixture
def compiling() -> ModuleType:
    loader = SourceFileLoader("compiling", str(ROOT / "deploy" / "compile.py"))
    spec = spec_from_loader("compiling", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def names_in(node: ast.AST) -> set[str]:
    return {inner.id if isinstance(inner, ast.Name) else inner.attr for inner in ast.walk(node)
            if isinstance(inner, ast.Name | ast.Attribute)}  # fmt: skip


def test_what_is_compiled_is_made_by_no_metaclass_and_no_class_decorator(compiling: ModuleType) -> None:
    for path in compiling.MODULES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ClassDef):
                asked = set().union(*map(names_in, [*node.bases, *node.decorator_list]), set())
                assert asked.isdisjoint(NEVER), (path, node.name)


def test_every_module_on_the_way_of_a_request_is_listed(compiling: ModuleType) -> None:
    assert all((ROOT / path).is_file() for path in compiling.MODULES)
    way = ("client", "reading", "head", "routing", "sending", "connection", "exchange", "facts", "recorder")
    assert {f"router/gateway/{name}.py" for name in way} <= set(compiling.MODULES)


def test_a_folder_of_others_is_left_alone(compiling: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("dear")
    with pytest.raises(RuntimeError, match="expected an empty folder or one made by this command"):
        compiling.build(tmp_path)
    assert (tmp_path / "mine").read_text() == "dear"


def test_without_a_compiler_it_says_what_is_needed(
    compiling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeError, match="expected a C compiler"):
        compiling.build(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_compiled_already_is_not_made_again(
    compiling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / compiling.STAMP).write_text(compiling.digest())
    monkeypatch.setenv("CC", "no-such-compiler")
    compiling.build(tmp_path)
    (tmp_path / compiling.STAMP).write_text("of another day")
    with pytest.raises(RuntimeError, match="expected a C compiler"):
        compiling.build(tmp_path)


@pytest.mark.slow
def test_the_compiled_gateway_passes_the_gateways_own_tests(compiling: ModuleType, tmp_path: Path) -> None:
    if compiling.missing():
        pytest.skip(str(compiling.missing()))
    compiling.build(tmp_path / "compiled")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path / 'compiled'}:{ROOT}"}
    asked = "from router.gateway import client, routing; print(client.__file__, routing.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", asked], env=environ, capture_output=True, text=True, check=True
    )
    assert found.stdout.count(".so") == 2
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        str(ROOT / "tests" / "gateway"),
    ]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_the_compiled_gateway_routes_and_records(
    compiling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiling.missing():
        pytest.skip(str(compiling.missing()))
    compiling.build(tmp_path / "compiled")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "compiled"))
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(slow_ms=300),)))
        world.start()
        for number in range(20):
            status, fields, _ = world.get("/v2/x", **{"X-Person": f"p{number}"})
            assert status == 200
            assert "Pointsman-Decision" in fields
        eventually(lambda: world.counted("pointsman_rows_flushed_total") == 20)
