"""What this process answers to remote evaluation, as OpenAPI: written from the protocol's facts and held by a test.

The published description refuses every value that is a text, a number or a truth, and lacks the reason ``DEFAULT``; this one
says what clients in the field really take. Reasons and codes are those of the code that answers.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from router import __version__
from router.api.ofrep import CODES, REASONS

PATH = "/ofrep/v1/openapi.json"
KEY_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
JSON = "application/json"
VALUE: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}]
}
PRIMITIVE: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}

views = Blueprint("ofrep_description", __name__)


@views.get(PATH)
def description() -> Response:
    """The description itself."""
    return jsonify(DESCRIPTION)


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(about: str, schema: str, **headers: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": about, "content": {JSON: {"schema": _ref(schema)}}}
    if headers:
        answer["headers"] = {
            name: {"description": said, "required": True, "schema": {"type": "string"}}
            for name, said in headers.items()
        }
    return answer


TEXT = {"type": "string"}
SCHEMAS: dict[str, Any] = {
    "context": {
        "type": "object",
        "description": "Attributes by name; a list is asked for any of its members.",
        "properties": {"targetingKey": {"type": "string", "description": "The unit."}},
        "additionalProperties": True,
    },
    "request": _object([], context=_ref("context")),
    "metadata": {"type": "object", "additionalProperties": PRIMITIVE},
    "success": _object(
        ["key", "value", "reason", "variant"],
        key=TEXT,
        value=VALUE,
        reason={"type": "string", "enum": sorted(set(REASONS.values()))},
        variant=TEXT,
        metadata=_ref("metadata"),
    ),
    "failure": _object(
        ["key", "errorCode", "errorDetails"],
        key=TEXT,
        errorCode={"type": "string", "enum": list(CODES)},
        errorDetails=TEXT,
    ),
    "bulkFailure": _object(
        ["errorCode", "errorDetails"],
        errorCode={"type": "string", "enum": list(CODES)},
        errorDetails=TEXT,
    ),
    "bulk": _object(
        ["flags"],
        flags={"type": "array", "items": {"anyOf": [_ref("success"), _ref("failure")]}},
        metadata=_ref("metadata"),
    ),
    "refusal": _object(["error"], error=_object(["code", "message"], code=TEXT, message=TEXT)),
}
BODY = {"required": False, "content": {JSON: {"schema": _ref("request")}}}
REFUSED = {
    "401": _answer("No token, or the wrong one.", "refusal"),
    "403": _answer("Asked in the name of another site.", "refusal"),
    "413": _answer("A body that is too large.", "refusal"),
}
AGAIN = {"Retry-After": "Seconds until it is worth asking again."}
DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pointsman, remote evaluation of flags (OFREP)", "version": __version__},
    "security": [{}, {"bearer": []}, {"apiKey": []}],
    "paths": {
        "/ofrep/v1/evaluate/flags/{key}": {
            "post": {
                "operationId": "evaluateFlag",
                "summary": "One flag for one context. Asking is no exposure.",
                "parameters": [
                    {
                        "name": "key",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "pattern": KEY_PATTERN, "maxLength": 100},
                    }
                ],
                "requestBody": BODY,
                "responses": {
                    "200": _answer("The flag's value; of one that is off, its default.", "success"),
                    "400": _answer("A context that cannot be read, or lacks the unit.", "failure"),
                    "404": _answer("No such flag.", "failure"),
                    "503": _answer("Redis does not answer.", "failure", **AGAIN),
                    **REFUSED,
                },
            }
        },
        "/ofrep/v1/evaluate/flags": {
            "post": {
                "operationId": "evaluateFlags",
                "summary": "All flags for one context. Asking is no exposure.",
                "parameters": [
                    {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}
                ],
                "requestBody": BODY,
                "responses": {
                    "200": _answer("All flags, sorted by key.", "bulk", ETag="Names flags and context."),
                    "304": {"description": "The caller has this answer already."},
                    "400": _answer("A context that cannot be read.", "bulkFailure"),
                    "503": _answer("Redis does not answer.", "bulkFailure", **AGAIN),
                    **REFUSED,
                },
            }
        },
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        },
    },
}
