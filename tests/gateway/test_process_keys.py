"""Published keys in the real gateway: read beside the requests when a flag wants them, and looked at by ``--check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from router.flag import Flag, TokenSource
from router.gateway import checking
from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually
from tests.gateway.test_keysets import OTHER_RSA, RSA, Issuer, jwk, signed

TOKEN, FORGED = (f"Bearer {signed(key, 'RS256', 'mine')}" for key in (RSA, OTHER_RSA))


@pytest.fixture
def issuers() -> Iterator[list[Issuer]]:
    made = [Issuer(), Issuer()]
    for issuer, key in zip(made, (RSA, OTHER_RSA), strict=True):
        issuer.publish(jwk(key, "mine"))
    yield made
    for issuer in made:
        issuer.close()


def trusting(world: World, place: str, route: str = "web", path: str = "/") -> Flag:
    """A route whose unit is a claim of an issuer's tokens, all of them in the experiment."""
    made = world.flag(route=route, path=path, experiments=(experiment(),), places=(("jwt", "sub"),))
    tokens = TokenSource((), ("RS256",), jwks=place)
    return msgspec.structs.replace(made, unit=msgspec.structs.replace(made.unit, jwt=tokens))


def enrolled(world: World, route: str) -> float:
    return world.metrics().get(f'pointsman_assignments_total{{reason="enrolled",route="{route}"}}', 0)


def test_a_published_key_verifies_and_a_forged_token_is_counted(
    tmp_path: Path, issuers: list[Issuer]
) -> None:
    with World(tmp_path) as world:
        world.put(trusting(world, issuers[0].place))
        world.start()
        assert world.get("/x", Authorization=FORGED)[0] == 200
        refused = 'pointsman_refused_tokens_total{reason="signature",route="web"}'
        eventually(lambda: world.metrics().get(refused) == 1)
        assert enrolled(world, "web") == 0
        assert world.get("/x", Authorization=TOKEN)[0] == 200
        eventually(lambda: enrolled(world, "web") == 1)
        world.put(trusting(world, issuers[1].place, "late", "/late"))
        eventually(
            lambda: world.get("/late/x", Authorization=FORGED)[0] == 200 and enrolled(world, "late") > 0
        )


def test_check_reads_what_is_published(tmp_path: Path, issuers: list[Issuer]) -> None:
    with World(tmp_path) as world:
        world.put(trusting(world, issuers[0].place))
        assert [one for one in checking.problems(world.settings) if "jwks" in one.path] == []
        issuers[0].answer = (404, {}, b"")
        (problem,) = [one for one in checking.problems(world.settings) if "jwks" in one.path]
        assert problem.expected == f"a JWK set at {issuers[0].place}"
