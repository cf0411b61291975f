"""The real Envoy routes by the snippet, and serves control without us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from router.local.processes import free_port
from tests.gateway.flags import experiment
from tests.gateway.running import World
from tests.gateway.test_deciding import arm_of, routes_as_the_gateway

SNIPPET = Path(__file__).parent.parent.parent / "deploy" / "envoy" / "decide.yaml"
ENVOY = Path(sys.executable).parent / "envoy"


@pytest.mark.skipif(not ENVOY.exists(), reason="the list of clients is not installed")
def test_the_real_envoy_routes_by_the_snippet_and_serves_control_without_us(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        port = free_port()
        ports = {"8080": port, "8320": world.port}
        ports |= {
            old: int(model.url.rpartition(":")[2])
            for old, model in zip(("9001", "9002"), world.models, strict=True)
        }
        text = SNIPPET.read_text()
        for old, new in ports.items():
            text = text.replace(f"port_value: {old}", f"port_value: {new}")
        config = tmp_path / "envoy.yaml"
        config.write_text(text)
        command = [
            str(ENVOY),
            "-c",
            str(config),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
        ]
        with (tmp_path / "envoy.log").open("w") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            routes_as_the_gateway(world, port)
            world.group.stop()
            assert {arm_of(port, f"u{n}")[0] for n in range(20)} == {"v1"}
            forged = {arm_of(port, f"u{n}", **{"Pointsman-Arm": "v2"})[0] for n in range(20)}
            assert forged == {"v1"}
        finally:
            envoy.terminate()
            envoy.wait()
