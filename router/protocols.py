"""The protocols that inference clients speak, one row each: what a request and an answer say, and where. Pure.

A gateway passes all of them on octet by octet; a row is only what it can read on the way (tokens, the model's identity,
errors inside a stream) and how an answer of its own must look, so that the client's library understands it.

Source:
    Open Inference Protocol v2; KServe v1; OpenAI API reference (chat, completions, responses, embeddings); Anthropic
    Messages API; MLflow model serving.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shape = Callable[[int, str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol.

    Attributes:
        name: as route files write it.
        about: which calls belong to it.
        identity: places of an answer that tell which model answered, ``header:NAME`` or ``json:/POINTER``; the first
            that is present counts.
        tokens_in: pointers to the number of tokens read; the first that is present counts.
        tokens_out: pointers to the number of tokens written.
        finish: pointers to why the model stopped.
        failed: pointers that are present only in an error, also in one inside a stream.
        error: the body of an answer of ours: of its status, code and sentence.
        model: places of a request that name the model it asks for, ``json:/POINTER`` or ``segment:NAME``, the segment of
            the path behind the one of that name.
        named: pointers to that name in an answer.
        unit: places of a request where clients of this protocol name whom it is made for.
        versions: pointer to the versions of a model in what its server answers at the model's own path; empty where the
            protocol has no such question.
    """

    name: str
    about: str
    identity: tuple[str, ...]
    tokens_in: tuple[str, ...]
    tokens_out: tuple[str, ...]
    finish: tuple[str, ...]
    failed: tuple[str, ...]
    error: Shape
    model: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    unit: tuple[tuple[str, str], ...] = ()
    versions: str = ""


def _plain(status: int, code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "problems": []}}


def _text(status: int, code: str, message: str) -> dict[str, Any]:
    return {"error": f"{code}: {message}"}


def _openai(status: int, code: str, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


ANTHROPIC_TYPES = {
    404: "not_found_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}


def _anthropic(status: int, code: str, message: str) -> dict[str, Any]:
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": f"{code}: {message}"}}


def _mlflow(status: int, code: str, message: str) -> dict[str, Any]:
    return {"error_code": code.upper(), "message": message}


VERSION = "header:x-model-version"
TABLE: tuple[Protocol, ...] = (
    Protocol("plain", "anything by HTTP", (VERSION,), (), (), (), (), _plain),
    Protocol(
        "oip-v2",
        "Open Inference Protocol v2 (Triton, KServe, Seldon, MLServer): /v2/models/NAME/infer, binary tensors too",
        (VERSION, "json:/model_version"),
        (),
        (),
        (),
        ("/error",),
        _text,
        ("segment:models",),
        ("/model_name",),
        versions="/versions",
    ),
    Protocol(
        "oip-v1",
        "KServe v1 and TensorFlow Serving: /v1/models/NAME:predict",
        (VERSION,),
        (),
        (),
        (),
        ("/error",),
        _text,
        ("segment:models",),
    ),
    Protocol(
        "openai",
        "chat/completions, completions, responses, embeddings; streams too",
        (VERSION, "json:/model", "json:/response/model", "json:/system_fingerprint"),
        ("/usage/prompt_tokens", "/usage/input_tokens", "/response/usage/input_tokens"),
        ("/usage/completion_tokens", "/usage/output_tokens", "/response/usage/output_tokens"),
        ("/choices/0/finish_reason", "/response/status"),
        ("/error",),
        _openai,
        ("json:/model",),
        ("/model", "/response/model"),
        (("json", "/safety_identifier"), ("json", "/user")),
    ),
    Protocol(
        "anthropic",
        "messages; streams too",
        (VERSION, "json:/model", "json:/message/model"),
        ("/usage/input_tokens", "/message/usage/input_tokens"),
        ("/usage/output_tokens",),
        ("/stop_reason", "/delta/stop_reason"),
        ("/error",),
        _anthropic,
        ("json:/model",),
        ("/model", "/message/model"),
        (("json", "/metadata/user_id"),),
    ),
    Protocol(
        "mlflow",
        "MLflow, SageMaker containers: /invocations",
        (VERSION,),
        ("/usage/prompt_tokens",),
        ("/usage/completion_tokens",),
        (),
        ("/error_code",),
        _mlflow,
    ),
)
ROWS = {row.name: row for row in TABLE}
MODEL = re.compile(r"/(?:[^?]*?/)?models/[^/:?]+(?:/versions/[^/:?]+)?")


def model_path(path: str) -> str:
    """A model's own path, up to its name or, where one is named, its version; empty where the path names no model.

    Args:
        path: of requests for that model, or how all of them begin.
    """
    found = MODEL.match(path)
    return "" if found is None else found[0]
