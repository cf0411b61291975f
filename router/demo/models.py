"""Three model servers in processes of their own, speaking the Open Inference Protocol, version 2.

scikit-learn takes a second to load, so one process loads and trains, then forks one server per model: three
processes, three sockets, one load. A server answers ``POST /v2/models/digits/infer``, the readiness questions of the
protocol, and nothing else.

Source: Open Inference Protocol, REST, https://github.com/kserve/open-inference-protocol (inference and health).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from router.demo.digits import PIXELS, Predict, prepare
from router.local.parent import die_with_parent

MODEL = "digits"
INFER_PATH = f"/v2/models/{MODEL}/infer"
READY_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready"})
LARGEST_BODY = 1 << 20


class BadRequest(Exception):
    """The request is not an inference request for this model; the text says why."""


def scans_of(body: bytes) -> list[list[float]]:
    """The batch of scans in an inference request of shape [batch, 64]."""
    try:
        tensor = json.loads(body)["inputs"][0]
        batch, width = tensor["shape"]
        data = [float(pixel) for pixel in tensor["data"]]
    except (ValueError, TypeError, LookupError) as problem:
        raise BadRequest(f"inputs[0]: expected shape [n, {PIXELS}] and data: {problem}") from problem
    if width != PIXELS or batch < 1 or len(data) != batch * width:
        raise BadRequest(
            f"inputs[0].shape: expected [n, {PIXELS}] and as many numbers, found {tensor['shape']}"
        )
    return [data[i : i + PIXELS] for i in range(0, len(data), PIXELS)]


def answer_of(version: str, digits: list[int]) -> bytes:
    """An inference response with one output tensor, ``digit``."""
    output = {"name": "digit", "shape": [len(digits)], "datatype": "INT64", "data": digits}
    return json.dumps({"model_name": MODEL, "model_version": version, "outputs": [output]}).encode()


class ModelServer(ThreadingHTTPServer):
    """One model behind one socket."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, listener: socket.socket, version: str, predict: Predict) -> None:
        super().__init__(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.version = version
        self.predict = predict

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no news."""


class Handler(BaseHTTPRequestHandler):
    """The requests of the protocol that the demo uses."""

    server: ModelServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write

    def do_GET(self) -> None:
        if self.path in READY_PATHS:
            self._answer(200, b'{"ready": true}')
        else:
            self._answer(404, b'{"error": "no such path"}')

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != INFER_PATH or not 0 < length <= LARGEST_BODY:
            self.close_connection = True
            self._answer(404, b'{"error": "expected an inference request"}')
            return
        try:
            digits = self.server.predict(scans_of(self.rfile.read(length)))
        except BadRequest as problem:
            self._answer(400, json.dumps({"error": str(problem)}).encode())
            return
        self._answer(200, answer_of(self.server.version, digits))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """The demo prints decisions, not requests."""


def _serve(listener: socket.socket, version: str, predict: Predict) -> None:
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ModelServer(listener, version, predict).serve_forever()


def main(arguments: list[str]) -> None:
    """``models FOLDER v1=FD v2=FD v3=FD``, listening sockets by their numbers: train, fork a server per model, wait."""
    folder = Path(arguments[0])
    listeners = {}
    for pair in arguments[1:]:
        version, _, number = pair.partition("=")
        listeners[version] = socket.socket(fileno=int(number))
    models = prepare(folder)
    children = []
    for version, listener in listeners.items():
        child = os.fork()
        if child == 0:
            _serve(listener, version, models[version])
        children.append(child)
        listener.close()
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
