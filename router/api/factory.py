"""Puts the application together: one plane, one table of blueprints, one way to refuse."""

from __future__ import annotations

from collections.abc import Callable

import redis
from flask import Flask, Response

from router.api import (
    apply,
    auth,
    dashboard,
    documents,
    errors,
    experiments,
    exposures,
    flags,
    ofrep,
    ofrep_description,
    outcomes,
    status,
    try_page,
)
from router.api.plane import EXTENSION, build, plane, wall_ms
from router.api.words import FILTERS
from router.settings import Settings

# Views by file; a new group of addresses is one row.
BLUEPRINTS = (
    outcomes.views,
    experiments.views,
    documents.views,
    flags.views,
    ofrep.views,
    ofrep_description.views,
    exposures.views,
    apply.views,
    status.views,
    auth.views,
    dashboard.views,
    try_page.views,
)
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LARGEST_BODY = 8 << 20


def create_app(settings: Settings, client: redis.Redis, now: Callable[[], int] = wall_ms) -> Flask:
    """An application on one store."""
    app = Flask("router.api", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    app.extensions[EXTENSION] = build(settings, client, now)
    errors.register(app)
    for views in BLUEPRINTS:
        app.register_blueprint(views)
    app.before_request(auth.guard)
    app.after_request(_finish)
    return app


def _finish(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    # Verdicts move every second, and a confirm page holds a form's token: nothing but style sheets is kept.
    response.headers.setdefault("Cache-Control", "no-store")
    plane().counts.answers.labels(f"{response.status_code // 100}xx").inc()
    return response
