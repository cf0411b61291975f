"""Who may ask: a bearer token for programs, a signed cookie for browsers, and nothing forged from other sites.

The token is needed wherever one is set. Without one the process listens to this machine only, and then a page of
another site must still not be able to use a visitor's browser against it: foreign origins and foreign host names are
refused.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from router.api.plane import plane
from router.errors import Refused, Unauthorised
from router.settings import is_loopback

# What needs no token: whether the process lives, the style sheet, and the page that asks for the token.
OPEN = frozenset({"status.livez", "static", "auth.login"})
# What programs ask: a cookie never opens it, so that no other site can.
PROGRAMS = ("/v1/", "/ofrep/", "/metrics", "/readyz")
SESSION_COOKIE = "pm_session"
FORM_COOKIE = "pm_form"
SESSION_MS = 12 * 3_600_000

views = Blueprint("auth", __name__)


def guard() -> AnyResponse | None:
    """Runs before every view.

    Raises:
        Refused: the request comes from another site.
        Unauthorised: a token is set, and this is not it.
    """
    _same_site()
    if not plane().settings.token or request.endpoint in OPEN:
        return None
    if _bearer_is_right():
        return None
    if request.path.startswith(PROGRAMS):
        raise Unauthorised("send the token as 'Authorization: Bearer …' (setting token, POINTSMAN_TOKEN)")
    if _session_is_right(request.cookies.get(SESSION_COOKIE, "")):
        return None
    return redirect(url_for("auth.login", next=request.full_path.rstrip("?")))


def _same_site() -> None:
    settings = plane().settings
    host = urlsplit(f"//{request.host}").hostname or ""
    known = {"localhost", "127.0.0.1", "::1", urlsplit(settings.api_url).hostname}
    # Open to this machine only: a name of another site that resolves to it (DNS rebinding) is not a name of ours.
    open_here = not settings.token and is_loopback(settings.api_bind)
    if open_here and host not in known and not host.startswith("127."):
        raise Refused("foreign_host", f"host {host!r} is not a name of this API; set api_url to use it", 403)
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if (origin is not None and urlsplit(origin).netloc != request.host) or site not in (
        "same-origin",
        "none",
    ):
        raise Refused("foreign_origin", "a page of another site may not change anything here", 403)


def _bearer_is_right() -> bool:
    token = plane().settings.token
    given = request.headers.get("Authorization", "")
    if not given and request.path.startswith("/ofrep/"):  # its protocol knows both
        given = f"Bearer {request.headers.get('X-API-Key', '')}"
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def _seal(key: bytes, text: str) -> str:
    return hashlib.blake2b(text.encode(), key=hashlib.sha256(key).digest(), digest_size=16).hexdigest()


def _session_is_right(cookie: str) -> bool:
    until, _, seal = cookie.partition(".")
    fresh = until.isascii() and until.isdigit() and len(until) < 20 and int(until) > plane().now()
    return fresh and hmac.compare_digest(
        seal.encode(), _seal(plane().settings.token.encode(), until).encode()
    )


@views.route("/login", methods=["GET", "POST"])
def login() -> AnyResponse:
    """Exchange the token for a cookie that only the pages read."""
    wanted = request.values.get("next", "/")
    target = wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"
    settings = plane().settings
    if not settings.token:
        return redirect(target)
    if request.method == "GET":
        return make_response(render_template("login.html", next=target, wrong=False))
    if not hmac.compare_digest(request.form.get("token", "").encode(), settings.token.encode()):
        return make_response(render_template("login.html", next=target, wrong=True), 401)
    until = str(plane().now() + SESSION_MS)
    response = redirect(target)
    value = f"{until}.{_seal(settings.token.encode(), until)}"
    response.set_cookie(SESSION_COOKIE, value, httponly=True, samesite="Strict", secure=request.is_secure)
    return response


def form_token() -> tuple[str, str]:
    """A nonce for the cookie, and its seal for the form: both must come back together."""
    nonce = request.cookies.get(FORM_COOKIE) or secrets.token_hex(16)
    return nonce, _seal(plane().csrf_key, nonce)


def with_form_cookie(response: Response, nonce: str) -> Response:
    """The nonce goes to this browser, and comes back from our own pages only."""
    response.set_cookie(FORM_COOKIE, nonce, httponly=True, samesite="Strict", secure=request.is_secure)
    return response


def check_form() -> None:
    """Hold a form to having come from one of our own pages.

    Raises:
        Refused: it did not.
    """
    nonce, seal = request.cookies.get(FORM_COOKIE, ""), request.form.get("form", "")
    if not nonce or not hmac.compare_digest(seal.encode(), _seal(plane().csrf_key, nonce).encode()):
        raise Refused("forged_form", "this form did not come from a page of ours; open the page again", 403)
