"""The others: how each proxy is set up to do what the gateway does, as well as it can, with one worker.

Buffers are 64 KB where a proxy has a choice (nginx at its default of 4 KB costs four times as much for large bodies), every
connection is kept, nothing is logged.
"""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.local.processes import ProcessGroup, free_port
from tests.bench.hop.targets import Target
from tests.gateway.running import eventually

ROOT = Path(__file__).parent.parent.parent.parent
ANSWER = b"y" * 200

MODEL = """worker_processes 1; daemon off; pid {folder}/{port}.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}/mb; keepalive_requests 100000000; keepalive_timeout 600s;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{answer}"; }} }} }}
"""
NGINX = """worker_processes 1; daemon off; pid {folder}/{port}.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}/pb; proxy_temp_path {folder}/pt;
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0; client_body_buffer_size 64k;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffers 8 64k; proxy_buffer_size 64k;
  proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
  upstream model {{ server 127.0.0.1:{model}; keepalive 128; keepalive_requests 100000000; }}
  upstream own {{ server 127.0.0.1:{own}; keepalive 512; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://model; }}
    location /own {{ proxy_pass http://own; proxy_request_buffering off; }}
    location /own/events {{ proxy_pass http://own; proxy_buffering off; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  default_backend model
backend model
  server model 127.0.0.1:{model}
"""
ENVOY = """static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"],
            routes: [{{match: {{prefix: /}}, route: {{cluster: model}}}}]}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: model
    load_assignment: {{cluster_name: model, endpoints: [{{lb_endpoints: [{{endpoint:
      {{address: {{socket_address: {{address: 127.0.0.1, port_value: {model}}}}}}}}}]}}]}}
"""


class MissingError(Exception):
    """A proxy is not installed here; the message says how to get it."""


@dataclass(frozen=True)
class Site:
    """Where proxies are started, and the model servers behind them."""

    group: ProcessGroup
    folder: Path
    model: int = 0
    own: int = 0

    def start(self, name: str, text: str, command: list[str], processes: int = 1, **environ: str) -> Target:
        """Start a proxy by a file of this text, in a command where ``{conf}`` stands for its path."""
        port = free_port()
        conf = self.folder / f"{name}.yaml"  # Envoy goes by the suffix, the others do not care
        values = {"folder": self.folder, "port": port, "model": self.model, "own": self.own}
        conf.write_text(text.format(**values, answer=ANSWER.decode()))
        words = [word.format(conf=conf, port=port, folder=self.folder) for word in command]
        child = self.group.start(name, words, environ)
        target = Target(name, port, child.pid)
        eventually(lambda: len(target.processes()) >= processes)
        eventually(lambda: _accepts(port))
        return target


def _accepts(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


def program(name: str, how: str) -> str:
    """The path of an installed program: beside the interpreter, on the path, where Debian puts servers."""
    for path in (Path(sys.executable).parent / name, shutil.which(name), Path("/usr/sbin") / name):
        if path and Path(path).exists():
            return str(path)
    raise MissingError(f"{name} is not installed ({how})")


def nginx(site: Site, name: str = "nginx", text: str = NGINX) -> Target:
    found = program("nginx", "apt-get install nginx-light")
    return site.start(name, text, [found, "-p", "{folder}", "-c", "{conf}"], processes=2)


def model(site: Site) -> Target:
    """The model server that answers everything with the same 200 octets."""
    return nginx(site, "model", MODEL)


def haproxy(site: Site) -> Target:
    return site.start(
        "haproxy", HAPROXY, [program("haproxy", "apt-get install haproxy"), "-db", "-f", "{conf}"]
    )


def envoy(site: Site) -> Target:
    found = program("envoy", "the list of clients brings it: ./run clients")
    command = [found, "-c", "{conf}", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return site.start("envoy", ENVOY, command)


def flask(site: Site) -> Target:
    """What one would write in an afternoon: Flask and requests, in gunicorn's threads."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--chdir",
        str(ROOT),
        "--bind",
        "127.0.0.1:{port}",
        "--workers",
        "1",
    ]
    command += ["--worker-class", "gthread", "--threads", "32", "--keep-alive", "600", "--log-level", "error"]
    upstream = f"http://127.0.0.1:{site.model}"
    app = "tests.bench.hop.flask_proxy:app"
    return site.start("flask", "", [*command, app], processes=2, UPSTREAM=upstream)


PROXIES: Mapping[str, Callable[[Site], Target]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
    "flask": flask,
}
