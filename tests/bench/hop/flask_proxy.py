"""A proxy of a few lines, as people begin: Flask in front, requests behind, connections kept on both sides."""

from __future__ import annotations

import os
import threading

import requests
from flask import Flask, Response, request

UPSTREAM = os.environ["UPSTREAM"]
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "server",
    "date",
}

app = Flask(__name__)
threads = threading.local()


@app.route("/<path:path>", methods=["GET", "POST"])
def forward(path: str) -> Response:
    """One request, passed on and back."""
    if not hasattr(threads, "session"):
        threads.session = requests.Session()
    headers = {name: value for name, value in request.headers if name.lower() not in HOP_BY_HOP}
    answer = threads.session.request(
        request.method, f"{UPSTREAM}/{path}", headers=headers, data=request.get_data(), timeout=30
    )
    passed = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
    return Response(answer.content, answer.status_code, passed)
