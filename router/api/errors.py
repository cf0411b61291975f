"""Errors as answers: one JSON shape for programs, one page for people."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from router.errors import PointsmanError, StoreUnavailable, Unauthorised

log = logging.getLogger(__name__)
RETRY_AFTER_S = 1


def register(app: Flask) -> None:
    """Answer every kind of error in our own form."""
    app.register_error_handler(PointsmanError, _ours)
    app.register_error_handler(HTTPException, _theirs)
    app.register_error_handler(Exception, _unexpected)


def wants_json() -> bool:
    """Whether a program asks."""
    return request.path.startswith(("/v1/", "/ofrep/")) or request.accept_mimetypes.best == "application/json"


def _ours(problem: PointsmanError) -> Response:
    headers = {}
    if isinstance(problem, StoreUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(problem, Unauthorised):
        headers["WWW-Authenticate"] = "Bearer"
    response = _answer(problem.status, problem.code, problem.detail())
    response.headers.update(headers)
    return response


def _theirs(problem: HTTPException) -> Response:
    status = problem.code or 500
    if status < 400:
        return make_response(problem.get_response())
    code = problem.name.lower().replace(" ", "_")
    message = f"{request.method} {request.path}: {problem.description}"
    return _answer(status, code, {"error": {"code": code, "message": message, "problems": []}})


def _unexpected(problem: Exception) -> Response:
    log.exception("unexpected %s in %s %s", type(problem).__name__, request.method, request.path)
    message = f"unexpected {type(problem).__name__}; the log of the API says more"
    return _answer(500, "unexpected", {"error": {"code": "unexpected", "message": message, "problems": []}})


def _answer(status: int, code: str, detail: dict[str, dict[str, object]]) -> Response:
    if wants_json():
        response = jsonify(detail)
    else:
        response = make_response(
            render_template("error.html", status=status, code=code, error=detail["error"])
        )
    response.status_code = status
    return response
