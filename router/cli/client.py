"""The API as the command line sees it: one call, JSON in and out, every failure a sentence.

Where the API is: ``--api``, else ``POINTSMAN_API``, else the file that ``pointsman up`` and ``pointsman demo`` leave
in the folder they were started in, else the default address.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from router.errors import PointsmanError, Problem, SpecError

UP_FILE = Path(".pointsman") / "up.json"
DEFAULT_API = "http://127.0.0.1:8321"
TIMEOUT_S = 10.0


class Unreachable(PointsmanError):
    """Nobody answers at the API's address."""

    status = 503
    code = "unreachable"


class ApiRefused(PointsmanError):
    """The API answered with an error; its own words are kept."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message", error)))
        self.status = status
        self.code = str(error.get("code", "error"))
        self.error = dict(error)


def find_api(option: str | None, environ: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """The API's address and token."""
    token = environ.get("POINTSMAN_TOKEN", "")
    for address in (option, environ.get("POINTSMAN_API")):
        if address:
            return address.rstrip("/"), token
    try:
        up = json.loads((folder / UP_FILE).read_text())
        return str(up["api"]).rstrip("/"), token or str(up.get("token", ""))
    except (OSError, ValueError, KeyError):
        return DEFAULT_API, token


class Api:
    """The API at one address."""

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self.token = token

    def get(self, path: str) -> Any:
        """The answer of a reading call."""
        return self._call("GET", path, None)

    def post(self, path: str, document: object) -> Any:
        """The answer of a changing call."""
        return self._call("POST", path, json.dumps(document).encode())

    def delete(self, path: str, tag: int | None = None) -> Any:
        """The answer of a call that takes something away, at that revision of it alone if one is given."""
        return self._call("DELETE", path, None, {} if tag is None else {"If-Match": f'"{tag}"'})

    def _call(
        self, method: str, path: str, body: bytes | None, fields: Mapping[str, str] = MappingProxyType({})
    ) -> Any:
        request = urllib.request.Request(self.address + path, data=body, method=method)  # noqa: S310 - address given by its user
        for name, value in {"Content-Type": "application/json", **fields}.items():
            request.add_header(name, value)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as problem:
            with problem:
                self._refused(problem.code, problem.read())
        except (urllib.error.URLError, OSError, ValueError) as problem:
            reason = getattr(problem, "reason", problem)
            raise Unreachable(
                f"no API at {self.address} ({reason}): start one with 'pointsman up FILE…', or name it with --api URL"
            ) from problem

    def _refused(self, status: int, body: bytes) -> NoReturn:
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"message": f"the API at {self.address} answered {status}"}
        problems = error.get("problems")
        if problems and status == SpecError.status:
            raise SpecError(tuple(Problem(**problem) for problem in problems))
        raise ApiRefused(status, error)


def api_of(option: str | None) -> Api:
    """The API for this call, by the ladder of this module."""
    return Api(*find_api(option, os.environ, Path.cwd()))
