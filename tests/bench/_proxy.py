"""What one proxied request costs, beside nginx: processor time of the process tree, rounds alternating, cores pinned."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from router.flag import Arm  # noqa: E402 - the tests' folder is no installed package
from router.local.processes import free_port  # noqa: E402
from tests.gateway.flags import experiment  # noqa: E402
from tests.gateway.running import World  # noqa: E402

LOAD = str(Path(__file__).parent / "_load.py")
TARGET_CORE, LOAD_CORE = 0, 1
NGINX = """
daemon off; worker_processes 1; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream models {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024; client_max_body_size 0;
    location / {{
      proxy_pass http://models; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffers 8 64k; proxy_buffer_size 64k; client_body_buffer_size 1m;
    }}
  }}
}}
"""


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_ns(pid: int) -> int:
    """Nanoseconds of processor time of a process tree, as the scheduler counts them."""
    return sum(
        int((task / "schedstat").read_text().split()[0])
        for one in tree(pid)
        for task in Path(f"/proc/{one}/task").iterdir()
    )


def ask(port: int, connections: int, seconds: float) -> dict[str, Any]:
    run = [sys.executable, LOAD, "ask", str(LOAD_CORE), str(port), str(connections), str(seconds)]
    return dict(json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout))


def measure(pid: int, port: int, connections: int, seconds: float) -> tuple[float, float]:
    """Microseconds of processor time per request, and how busy the target's core was."""
    before, begun = cpu_ns(pid), time.monotonic()
    found = ask(port, connections, seconds)
    spent, took = cpu_ns(pid) - before, time.monotonic() - begun
    if found["failed"] or not found["answered"]:
        raise RuntimeError(f"{found['failed']} requests failed: the row is void")
    return spent / found["answered"] / 1e3, spent / 1e9 / took


def pin(pid: int) -> None:
    for one in tree(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(task.name), {TARGET_CORE})


def rounds_of(targets: dict[str, tuple[int, int]], connections: int, rounds: int, seconds: float) -> None:
    """One line per target; the ratio is inside each round."""
    found: dict[str, list[float]] = {name: [] for name in targets}
    busy: dict[str, list[float]] = {name: [] for name in targets}
    for turn in range(rounds):
        names = list(targets)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            pid, port = targets[name]
            us, share = measure(pid, port, connections, seconds)
            found[name].append(us)
            busy[name].append(share)
    for name, values in found.items():
        ratios = [ours / nginx for ours, nginx in zip(values, found["nginx"], strict=True)]
        print(
            f"c={connections:<3} {name:<12} {statistics.median(values):7.1f} us  x{statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f}-{max(ratios):.2f})  core {statistics.median(busy[name]):.2f}"
        )


def main() -> None:
    seconds = float(os.environ.get("SECONDS_EACH", "3"))
    rounds = int(os.environ.get("ROUNDS", "5"))
    upstream, port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        serving = subprocess.Popen([sys.executable, LOAD, "serve", str(LOAD_CORE), str(upstream)])
        config = Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
        nginx = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(config)])
        try:
            url = f"http://127.0.0.1:{upstream}"
            with World(Path(folder), gateway_workers=1) as world:
                arms = (Arm("v1", url), Arm("v2", url))
                world.put(world.flag(route="plain", path="/plain", arms=arms))
                world.put(world.flag(arms=arms, path="/v2", experiments=(experiment(slow_ms=300),)))
                world.start()
                pin(world.master)
                pin(nginx.pid)
                targets = {"nginx": (nginx.pid, port), "all features": (world.master, world.port)}
                for connections in (16, 64):
                    rounds_of(targets, connections, rounds, seconds)
        finally:
            nginx.terminate()
            serving.terminate()
            nginx.wait()
            serving.wait()


if __name__ == "__main__":
    main()
