"""The OpenFeature clients of Node, server and web, unmodified, against the real process."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from router.store.flags import Change
from tests.api.test_ofrep import ROUTES
from tests.api.test_process import alive, process  # noqa: F401 - a fixture
from tests.conftest import eventually

if TYPE_CHECKING:
    from tests.api.conftest import Desk

PACKAGES = (
    "@openfeature/ofrep-provider@0.1.3",
    "@openfeature/ofrep-web-provider@0.4.3",
    "@openfeature/server-sdk@1",
    "@openfeature/web-sdk@1",
)
SCRIPT = Path(__file__).with_name("ofrep_clients.mjs")


@pytest.fixture(scope="module")
def modules(pytestconfig: pytest.Config) -> Path:
    """A folder with the clients, installed once and kept with the cache of the tests."""
    if not (shutil.which("node") and (npm := shutil.which("npm"))):
        pytest.skip("no node and npm here: the clients of Node are not asked")
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("ofrep-clients"))
    if not (folder / "node_modules" / "@openfeature" / "web-sdk").is_dir():
        install = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(folder),
            *PACKAGES,
        ]
        done = subprocess.run(install, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"the clients of Node cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def clients(
    process: tuple[Desk, str, subprocess.Popen[bytes]],  # noqa: F811
    modules: Path,
) -> Iterator[subprocess.Popen[str]]:
    desk, url, _ = process
    assert desk.apply(ROUTES).status_code == 200
    flag = desk.store.flag("model")
    assert flag is not None
    desk.store.commit(Change({}, flag.with_coverage("better.1", 1_000_000).with_revision(3)))
    eventually(lambda: alive(url))
    child = subprocess.Popen(
        ["node", str(SCRIPT), url, str(modules)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield child
    child.kill()
    child.communicate()


def line(child: subprocess.Popen[str]) -> Any:
    assert child.stdout is not None
    return json.loads(child.stdout.readline())


def good(value: object, variant: str, reason: str) -> dict[str, object]:
    return {"value": value, "variant": variant, "reason": reason, "explained": False}


def bad(value: object, code: str) -> dict[str, object]:
    return {"value": value, "reason": "ERROR", "errorCode": code}


def test_both_clients_take_every_answer_and_the_web_client_polls_by_tag(
    clients: subprocess.Popen[str],
    process: tuple[Desk, str, subprocess.Popen[bytes]],  # noqa: F811
) -> None:
    first = line(clients)
    for who in ("server", "web"):
        found = first[who]
        assert found["banner"] == good(True, "on", "TARGETING_MATCH")
        assert found["limit"] == good(1, "low", "STATIC")
        assert found["model"] in (good("v1", "v1", "SPLIT"), good("v2", "v2", "SPLIT"))
        assert bad("mine", "FLAG_NOT_FOUND").items() <= found["nope"].items()
    assert first["server"]["model"] == first["web"]["model"]
    assert bad("mine", "TARGETING_KEY_MISSING").items() <= first["server"]["keyless"].items()
    assert bad("mine", "TYPE_MISMATCH").items() <= first["server"]["mismatch"].items()
    assert first["web"]["elsewhere"] == good(False, "off", "DEFAULT")
    assert sorted(first["web"]["statuses"]) == [200, 304]
    desk, _, _ = process
    flag = desk.store.flag("banner")
    assert flag is not None and clients.stdin is not None
    desk.store.commit(Change({}, flag.with_kill(None, on=True).with_revision(flag.revision + 1)))
    clients.stdin.write("changed\n")
    clients.stdin.flush()
    assert line(clients) == good(False, "off", "DISABLED")
