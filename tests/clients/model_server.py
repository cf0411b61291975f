"""A model server that speaks the protocols of inference clients, always with the same octets."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "grüß dich"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip
EMBEDDING = {
    "object": "list", "model": "e-1", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}  # fmt: skip
METADATA = {"name": "m", "versions": ["1"], "platform": "test", "inputs": [], "outputs": []}


def _chunk(**fields: Any) -> bytes:
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-1"}
    return b"data: " + json.dumps({**shared, **fields}).encode() + b"\n\n"


STREAM = [
    _chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": "grüß"}, "finish_reason": None}]),
    _chunk(choices=[{"index": 0, "delta": {"content": " dich"}, "finish_reason": "stop"}]),
    _chunk(choices=[], usage=CHAT["usage"]),
    b"data: [DONE]\n\n",
]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _answer(self, body: bytes, kind: str = "application/json", status: int = 200, **fields: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self._body()
        if self.path == "/v2/models/m":
            self._answer(json.dumps(METADATA).encode())
        elif self.path.startswith("/v2/"):
            self._answer(b"")
        else:
            self._answer(bytes(range(256)) * 4096, "application/octet-stream", X_Custom="kept", ETag='"1"')

    do_HEAD = do_GET  # noqa: N815 - its name there

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/infer"):
            self._infer(body)
        elif self.path == "/v1/embeddings":
            self._answer(json.dumps(EMBEDDING).encode())
        elif self.path == "/invocations":
            rows = json.loads(body)["dataframe_split"]["data"]
            self._answer(json.dumps({"predictions": [sum(row) for row in rows]}).encode())
        elif self.path != "/v1/chat/completions":
            self._answer(body, self.headers.get("Content-Type", "text/plain"))
        elif json.loads(body)["model"] == "unknown":
            error = {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}
            self._answer(json.dumps({"error": error}).encode(), status=404)
        elif json.loads(body).get("stream"):
            self._stream()
        else:
            self._answer(json.dumps(CHAT).encode(), X_Request_Id="req-1")

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in [*STREAM, b""]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _infer(self, body: bytes) -> None:
        """Answer with the octets of the first tensor, as a binary one."""
        length = int(self.headers["Inference-Header-Content-Length"])
        asked = json.loads(body[:length])
        tensor = asked["inputs"][0]
        octets = body[length:]
        output = {
            "name": "OUT", "datatype": tensor["datatype"], "shape": tensor["shape"],
            "parameters": {"binary_data_size": len(octets)},
        }  # fmt: skip
        document = {"model_name": "m", "model_version": "1", "id": asked.get("id", ""), "outputs": [output]}
        head = json.dumps(document).encode()
        self._answer(
            head + octets, "application/octet-stream", Inference_Header_Content_Length=str(len(head))
        )


class ModelServer(ThreadingHTTPServer):
    """The server, in a thread of its own."""

    daemon_threads = True

    def __enter__(self) -> ModelServer:
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"
