"""What a route reads in its answers: cost, outcomes by pointer; and deadlines passed on."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import uvloop

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Arm, Flag
from router.route import flag_of
from router.serving import Price, Serving
from tests.gateway.flags import experiment
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Script, read_request


def written(answered: bytes, measures: tuple[str, ...] = ("cost",), **fields: Any) -> dict[str, int]:
    """The outcomes of one request that is answered with this."""

    async def play() -> dict[str, int]:
        run = msgspec.structs.replace(experiment(treatment=999_999), measures=measures)
        async with gated({"v1": (b"",), "v2": (answered,)}, experiments=(run,), **fields) as world:
            await world.ask(post())
            return (await world.written())[1]

    return uvloop.run(play())


USAGE = b'{"usage":{"prompt_tokens":2000,"completion_tokens":100}}'


def test_cost_is_a_field_of_the_answer_or_tokens_at_a_price() -> None:
    field = Serving(cost="x-cost")
    assert written(answer(b"{}", fields=b"X-Cost: 0.25\r\n"), serving=field) == {"cost": 250_000}
    for bad in (b"nan", b"inf", b"-1", b"much"):
        assert written(answer(b"{}", fields=b"X-Cost: %b\r\n" % bad), serving=field) == {}


@pytest.mark.parametrize(
    ("fields", "body", "status", "expected"),
    [
        (b"", USAGE, b"200 OK", {"cost": 360}),
        (b"X-Cost: 3\r\n", USAGE, b"200 OK", {"cost": 3_000_000}),
        (b"", b"{}", b"200 OK", {}),
        (b"X-Cost: 3\r\n", USAGE, b"400 Bad Request", {}),
    ],
)
def test_a_price_table_makes_tokens_a_cost(
    fields: bytes, body: bytes, status: bytes, expected: dict[str, int]
) -> None:
    async def play() -> None:
        run = msgspec.structs.replace(experiment(treatment=999_999), measures=("cost",))
        answered = answer(body, fields=fields).replace(b"200 OK", status)
        how: dict[str, Any] = {"protocol": "openai", "serving": Serving(cost="x-cost"), "experiments": (run,)}
        async with gated({"v1": (b"",), "v2": (answered,)}, price=Price(150_000, 600_000), **how) as world:
            await world.ask(post())
            assert (await world.written())[1] == expected

    uvloop.run(play())


def test_values_in_a_small_answer_are_outcomes() -> None:
    serving = Serving(outcomes=(("sure", "/outputs/0/data/1"), ("flagged", "/flagged"), ("gone", "/no")))
    body = b'{"outputs":[{"data":[1,0.83]}],"flagged":true,"no":"text"}'
    assert written(answer(body), (), serving=serving) == {"sure": 830_000, "flagged": 1_000_000}
    for other in (answer(body, b"text/plain"), answer(body).replace(b"200 OK", b"500 Oops")):
        assert written(other, (), serving=serving) == {}


def test_of_a_batch_the_outcome_is_the_mean_of_its_items() -> None:
    serving = Serving(
        outcomes=(("sure", "/outputs/0/data"), ("flagged", "/flags"), ("none", "/no"), ("mixed", "/mix"))
    )
    body = b'{"outputs":[{"data":[1,0.5,0.25,0.25]}],"flags":[true,false],"no":[],"mix":[1,null]}'
    assert written(answer(body), (), serving=serving) == {"sure": 500_000, "flagged": 500_000}


@pytest.mark.parametrize(("said", "most"), [(b"700", 700), (b"9999999", 600_000), (b"soon", 600_000)])
def test_what_is_left_of_a_deadline_is_passed_on(said: bytes, most: int) -> None:
    async def play() -> None:
        async with gated(
            {"v1": (b"",), "v2": (answer(b"{}"),)}, serving=Serving(deadline="x-wait-ms")
        ) as world:
            assert (await world.ask(post(fields=b"X-Wait-Ms: %b\r\n" % said))).status == 200
            assert 0 <= int(world.requests[0][1].fields[b"x-wait-ms"]) <= most

    uvloop.run(play())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


def test_a_client_that_waits_no_longer_is_told_in_time() -> None:
    server: Script = silent

    async def play() -> None:
        async with gated({"v1": (b"",), "v2": server}, serving=Serving(deadline="x-wait-ms")) as world:
            assert (await world.ask(post(fields=b"X-Wait-Ms: 60\r\n"))).status == 504

    uvloop.run(play())


FILE = """
route: chat
unit: {kind: person}
protocol: openai
restore_model: yes
deadline: X-Wait-Ms
cost: x-cost
outcomes: {sure: /choices/0/sure}
arms:
  v1: {upstream: "http://h:1", price: {tokens_in: 0.15, tokens_out: 0.6}}
default: v1
"""


def flag_from(text: str) -> Flag:
    routes = parse_documents(load(text, "route.yaml")).routes
    return flag_of(routes["chat"][0])


def test_a_file_says_it_and_the_flag_keeps_it() -> None:
    made = flag_from(FILE)
    assert made.serving == Serving(True, "x-wait-ms", "x-cost", (("sure", "/choices/0/sure"),))
    assert made.arms == (Arm("v1", "http://h:1", made.arms[0].identity, price=Price(150_000, 600_000)),)
    assert made.unit.places == (("json", "/safety_identifier"), ("json", "/user"))
    assert Flag.parse(made.encode()) == made


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("protocol: openai", "protocol: mlflow", "a place in 'unit.from'"),
        (
            "{kind: person}\nprotocol: openai",
            "{kind: person, from: [request]}",
            "restore_model with a protocol",
        ),
        ("tokens_in: 0.15", "tokens_in: cheap", "price of a million tokens"),
        ("/choices/0/sure", "choices", "JSON pointer"),
        ("X-Wait-Ms", "via", "field name"),
    ],
)
def test_what_cannot_be_meant_is_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        flag_from(FILE.replace(old, new))
