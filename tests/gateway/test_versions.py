"""Servers are asked which version of their model they have: what they say is an arm's identity, and silence is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from router.document import load
from router.errors import SpecError
from router.events import Sighting
from router.files import parse_documents
from router.flag import Arm, ArmSet, Flag
from router.gateway import versions
from router.gateway.probes import tls
from router.gateway.versions import PARALLEL, Answer, Question, Versions, answered, name_of, questions_of
from router.identity import Seen, misidentified
from router.local.processes import free_port
from router.plan_lines import route_differences
from router.protocols import ROWS, model_path
from router.route import flag_of
from router.serving import PoolLimits, Serving
from tests.gateway.certificates import certificate, server_context
from tests.gateway.flags import NOW, experiment, flag
from tests.gateway.gated import Gated, answer, gated, quiet
from tests.gateway.scripted import Message, Script, read_request, until

ASKING = Serving(ask_versions=True)
HOW: Mapping[str, Any] = {"protocol": "oip-v2", "path": "/v2/models/m", "serving": ASKING}
INFER = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nX-Person: ann\r\nContent-Length: 2\r\n\r\n{}"


def model(*said: Any, more: bytes = b'{"outputs":[]}') -> bytes:
    return answer(json.dumps({"name": "m", "versions": list(said)}).encode()) if said else answer(more)


class Server:
    """A model server: what it is asked for its versions, and what it answers to that; to all else it says nothing of them."""

    def __init__(self, *said: Any) -> None:
        self.says: bytes = model(*said)
        self.asked: list[Message] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if request.line.startswith(b"GET"):
                self.asked.append(request)
                writer.write(self.says)
                return
            writer.write(model())


@contextlib.asynccontextmanager
async def following(world: Gated) -> AsyncIterator[Versions]:
    """What a worker does beside its requests."""
    bench = world.bench
    made = Versions(bench.recorder, bench.row, lambda: bench.now, 0.05)
    made.changed([world.route], [])
    try:
        yield made
    finally:
        made.stop()


async def told(world: Gated) -> set[tuple[str, str]]:
    """What was written down of arms since it was asked last."""
    world.bench.log.entries.clear()
    await world.bench.recorder.flush(world.bench.now)
    return {(one.arm, one.name) for entry in world.bench.log.folded() for one in entry.sightings}


def problems(said: set[tuple[str, str]], declares: str = "") -> tuple[str, ...]:
    """What a run makes of it."""
    seen = Seen()
    for arm, name in sorted(said):
        seen.answered(arm, name, 0)
    return misidentified({}, Arm("v1", "http://a:1"), Arm("v2", "http://b:1", declares=declares), seen)


@pytest.mark.parametrize(
    ("found", "path", "name"),
    [
        (["2"], "/v2/models/m", "2"),
        ([2], "/v2/models/m", "2"),
        (["10", "9", "9"], "/v2/models/m", "9, 10"),
        (["1", "2"], "/v2/models/m/versions/2", "2"),
        (["1", "2"], "/v2/models/m/versions/3", "1, 2"),
        (["a b"], "/v2/models/m/versions/a%20b", "a b"),
        (["sklearn/1.6", "numpy/2"], "/v2/models/m", "numpy/2, sklearn/1.6"),
        ([], "/v2/models/m", ""),
        ([""], "/v2/models/m", ""),
        (None, "/v2/models/m", ""),
        ("2", "/v2/models/m", ""),
        ({"2": 1}, "/v2/models/m", ""),
        ([True], "/v2/models/m", ""),
        ([["2"]], "/v2/models/m", ""),
        ([None, "2"], "/v2/models/m", ""),
        (["v" * 500], "/v2/models/m", "v" * 200),
    ],
)
def test_a_model_is_called_by_its_versions(found: Any, path: str, name: str) -> None:
    assert name_of(found, path) == name


@settings(max_examples=50)
@given(st.lists(st.text(min_size=1, max_size=3) | st.integers(0, 9), max_size=4))
def test_the_order_of_versions_is_no_other_model(found: list[str | int]) -> None:
    assert name_of(found, "/v2/models/m") == name_of([*reversed(found), *found], "/v2/models/m")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2/models/m", "/v2/models/m"),
        ("/v2/models/m/infer", "/v2/models/m"),
        ("/v2/models/m/versions/3/infer", "/v2/models/m/versions/3"),
        ("/team/v2/models/m/versions", "/team/v2/models/m"),
        ("/models/m", "/models/m"),
        ("/v2/models/models/infer", "/v2/models/models"),
        ("/v2/models/", ""),
        ("/v2/mymodels/m", ""),
        ("/v2", ""),
        ("/", ""),
    ],
)
def test_a_models_own_path_ends_at_its_name_or_version(path: str, found: str) -> None:
    assert model_path(path) == found


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 100_000 + b'{"versions":["2"]}'
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"version\r\n9\r\ns":["2"]}\r\n0\r\n\r\n'
)


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (model("2"), ("said", "2")),
        (model("2").replace(b"HTTP/1.1", b"HTTP/1.0"), ("said", "2")),
        (CHUNKED, ("said", "2")),
        (b'HTTP/1.1 200 OK\r\n\r\n{"versions":["2"]}', ("said", "2")),
        (CONTINUE + model("2"), ("said", "2")),
        (model(), ("silent", "")),
        (answer(b"[1]"), ("silent", "")),
        (answer(b'{"versions":[]}'), ("silent", "")),
        (model("2").replace(b"200 OK", b"404 No"), ("failed", "")),
        (model("2").replace(b"200 OK", b"503 No"), ("failed", "")),
        (b"HTTP/1.1 302 Found\r\nLocation: /v2/models/n\r\nContent-Length: 0\r\n\r\n", ("failed", "")),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ("failed", "")),
        (answer(b"no json"), ("failed", "")),
        (answer(b"\xff"), ("failed", "")),
        (answer(b"[" * 50_000), ("failed", "")),
        (model("2")[:-3], ("failed", "")),
        (model("2")[:40], ("failed", "")),
        (LONG, ("failed", "")),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000, ("failed", "")),
        (b"SSH-2.0-x\r\n", ("failed", "")),
        (b"", ("failed", "")),
    ],
)
def test_only_a_good_answer_says_anything(octets: bytes, found: tuple[str, str]) -> None:
    assert uvloop.run(of_server(octets)) == found


async def of_server(octets: bytes, **how: Any) -> tuple[str, str]:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(octets)

    async with await asyncio.start_server(quiet(script), "127.0.0.1", 0, **how) as server:
        scheme, host = ("https", "localhost") if how else ("http", "127.0.0.1")
        return await answered(question(f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"))


def question(server: str) -> Question:
    return Question(server, "/v2/models/m", b"Host: m\r\n", "/versions")


def test_a_word_before_the_answer_is_not_the_answer() -> None:
    found = Answer()
    found.parser.feed_data(CONTINUE)
    assert not found.whole
    found.parser.feed_data(model("2"))
    assert (found.whole, found.status, found.body) == (True, 200, b'{"name": "m", "versions": ["2"]}')


def test_nobody_and_nothing_say_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "WITHIN_S", 0.05)

    async def play() -> None:
        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        nobody = question(f"http://127.0.0.1:{free_port()}")
        assert await answered(nobody) == ("failed", "")
        assert await answered(question(f"unix:{tmp_path}/none")) == ("failed", "")
        async with await asyncio.start_unix_server(quiet(waiting), tmp_path / "silent"):
            assert await answered(question(f"unix:{tmp_path}/silent")) == ("failed", "")

    uvloop.run(play())


@pytest.mark.parametrize(("vouched", "found"), [(False, ("failed", "")), (True, ("said", "2"))])
def test_a_certificate_that_nobody_vouches_for_says_nothing(
    vouched: bool, found: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    tls.cache_clear()
    if vouched:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    try:
        assert uvloop.run(of_server(model("2"), ssl=server_context(cert, key))) == found
    finally:
        tls.cache_clear()


@settings(max_examples=30)
@given(st.binary(max_size=80), st.binary(max_size=20))
def test_whatever_a_server_says_it_is_read_or_it_has_failed(start: bytes, body: bytes) -> None:
    for octets in (start, b"HTTP/1.1 200 OK\r\n" + start, b"HTTP/1.1 200 OK\r\n\r\n" + body):
        result, name = asyncio.run(of_server(octets))
        assert (result == "said") == bool(name)


def test_what_servers_say_is_written_down_of_their_arms_at_the_time_of_the_question() -> None:
    async def play() -> None:
        one, two = Server("1"), Server("2")
        async with gated({"v1": one, "v2": two}, **HOW) as world, following(world):
            await until(lambda: world.counted("pointsman_version_questions", result="said") >= 2)
            await world.bench.recorder.flush(world.bench.now)
            found = {one for entry in world.bench.log.folded() for one in entry.sightings}
            assert found == {Sighting("v1", "1", NOW, NOW), Sighting("v2", "2", NOW, NOW)}
            assert problems({("v1", "1"), ("v2", "2")}, "2") == ()
            (line,) = {request.line for request in one.asked}
            assert line == b"GET /v2/models/m HTTP/1.1"
            assert one.asked[0].fields[b"connection"] == b"close"

    uvloop.run(play())


def test_servers_of_a_pool_that_say_different_versions_are_two_models_at_once() -> None:
    async def play() -> None:
        async with (
            await asyncio.start_server(quiet(Server("2")), "127.0.0.1", 0) as two,
            await asyncio.start_server(quiet(Server("3")), "127.0.0.1", 0) as three,
        ):
            ports = [one.sockets[0].getsockname()[1] for one in (two, three)]
            pool = PoolLimits(tuple(f"http://127.0.0.1:{port}" for port in ports))
            async with gated({"v1": Server(), "v2": Server("9")}, pools={"v2": pool}, **HOW) as world:
                async with following(world):
                    await until(lambda: world.counted("pointsman_version_questions", arm="v2") >= 2)
                    found = await told(world)
                assert found == {("v2", "2"), ("v2", "3")}
                assert problems(found) == ("v2 answers as '2' and '3': it changed under the run",)
                assert problems(found, "3") == ("v2 is declared '3' and answers as '2'",)

    uvloop.run(play())


def test_a_server_that_fails_is_not_known_and_its_next_answer_is_the_same_as_ever() -> None:
    async def play() -> None:
        two = Server("2")
        async with gated({"v1": Server(), "v2": two}, **HOW) as world, following(world):
            await until(lambda: world.counted("pointsman_version_questions", arm="v2", result="said"))
            found = await told(world)
            two.says = answer(b"oops").replace(b"200 OK", b"500 No")
            await until(lambda: world.counted("pointsman_version_questions", arm="v2", result="failed"))
            found |= await told(world)
            two.says = model("2")
            before = world.counted("pointsman_version_questions", arm="v2", result="said")
            await until(
                lambda: world.counted("pointsman_version_questions", arm="v2", result="said") > before
            )
            found |= await told(world)
            assert world.counted("pointsman_version_questions", arm="v1", result="silent")
            assert found == {("v2", "2")}
            assert problems(found, "2") == ()

    uvloop.run(play())


def test_what_answers_say_counts_too_and_must_be_the_same() -> None:
    async def play() -> None:
        v2 = Server("2")
        async with gated({"v1": Server(), "v2": talking(v2, "2")}, **HOW) as world, following(world):
            await world.ask(INFER)
            await until(lambda: world.counted("pointsman_version_questions", arm="v2", result="said"))
            assert await told(world) == {("v2", "2")}
            v2.says = model("3")
            await until(lambda: ("v2", "3") in {(arm, name) for arm, name in seen_by(world)})
            assert problems(await told(world) | {("v2", "2")}) == (
                "v2 answers as '2' and '3': it changed under the run",
            )

    uvloop.run(play())


def talking(server: Server, version: str) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await read_request(reader)).line.startswith(b"POST"):
            writer.write(answer(json.dumps({"model_version": version}).encode()))
        server.asked.append(request)
        writer.write(server.says)

    return script


def seen_by(world: Gated) -> set[tuple[str, str]]:
    return set(world.bench.recorder.buffer("e.1", 1).seen)


def test_a_question_is_asked_as_a_request_of_its_route_and_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "s3cret")
    sets = {
        "v2": ArmSet("/v2/models/n/versions/7", (("X-Api-Key", "${env:MODEL_KEY}"), ("x-tenant", "two"))),
        "v1": ArmSet(None, (("Accept", "*/*"),)),
    }

    async def play() -> None:
        one, two = Server("1"), Server("7", "8")
        how = {**HOW, "host": "models.example", "headers": (("x-tenant", "one"), ("x-team", "a"))}
        async with gated({"v1": one, "v2": two}, sets=sets, **how) as world, following(world):
            await until(lambda: len(seen_by(world)) == 2)
            assert await told(world) == {("v1", "1"), ("v2", "7")}
        fixed = {b"host": b"models.example", b"x-team": b"a", b"connection": b"close"}
        assert one.asked[0].fields == fixed | {b"x-tenant": b"one", b"accept": b"*/*"}
        assert two.asked[0].line == b"GET /v2/models/n/versions/7 HTTP/1.1"
        more = {b"x-tenant": b"two", b"x-api-key": b"s3cret", b"accept": b"application/json"}
        assert two.asked[0].fields == fixed | more

    uvloop.run(play())


@pytest.mark.parametrize(
    ("fields", "asks"),
    [
        ({}, True),
        ({"experiments": ()}, False),
        ({"serving": None}, False),
        ({"serving": Serving(cost="x-cost")}, False),
        ({"protocol": "openai"}, False),
        ({"path": "/v2"}, False),
    ],
)
def test_nobody_is_asked_but_for_a_run_of_a_route_that_says_so(fields: Mapping[str, Any], asks: bool) -> None:
    async def play() -> None:
        one, two = Server("1"), Server("2")
        async with gated({"v1": one, "v2": two}, **{**HOW, **fields}) as world:
            assert bool(list(questions_of(world.route))) is asks

    uvloop.run(play())


def test_before_units_are_given_to_an_arm_it_does_not_matter_what_it_is() -> None:
    async def play() -> None:
        arms, how = {"v1": Server("1"), "v2": Server("2")}, {**HOW, "experiments": (experiment(coverage=0),)}
        async with gated(arms, **how) as world, following(world) as questions:
            await until(lambda: world.counted("pointsman_version_questions", result="said") >= 2)
            assert await told(world) == set()
            before = world.route
            world.bench.show(msgspec.structs.replace(world.flag, experiments=(experiment(coverage=1),)))
            questions.changed([world.route], [before])
            await until(lambda: len(seen_by(world)) == 2)

    uvloop.run(play())


def test_questions_end_with_the_run_and_go_on_over_a_change_of_the_flag() -> None:
    def asking() -> int:
        return sum("_follow" in str(task.get_coro()) for task in asyncio.all_tasks() if not task.cancelling())

    async def play() -> None:
        arms = {"v1": Server("1"), "v2": Server("2")}
        async with gated(arms, **HOW) as world, following(world) as questions:
            await until(lambda: len(seen_by(world)) == 2)
            for revision in (2, 3):
                before = world.route
                world.bench.show(msgspec.structs.replace(world.flag, revision=revision))
                questions.changed([world.route], [before])
                assert asking() == 2
            for _ in range(2):  # what is gone already is no trouble
                questions.changed([], [world.route])
                assert asking() == 0

    uvloop.run(play())


def test_no_more_than_a_few_are_asked_at_a_time_and_all_are_asked() -> None:
    async def play() -> None:
        waiting: set[asyncio.StreamWriter] = set()
        go_on = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await read_request(reader)
            if b"/last" not in request.line:
                waiting.add(writer)
                await go_on.wait()
            writer.write(model("2"))

        async with gated({"v1": script, "v2": Server()}, **HOW) as world:
            url = world.flag.arm("v1").upstream
            arms = tuple(Arm(name, url) for name in ("v1", "v2"))
            flags = []
            for number in range(2 * PARALLEL):
                run = msgspec.structs.replace(experiment(), run=f"r{number}.1", experiment=f"r{number}")
                how = {**HOW, "path": f"/v2/models/{number}"}
                flags.append(flag(f"r{number}", arms=arms, experiments=(run,), **how))
            world.bench.show(*flags)
            snapshot = world.bench.gate.snapshot
            assert snapshot is not None
            asking = Versions(world.bench.recorder, world.bench.row, lambda: NOW, 60.0)
            asking.changed(list(snapshot.routes.values()), [])
            await until(lambda: len(waiting) >= PARALLEL)
            assert (await answered(question(url)._replace(path="/last")))[
                0
            ] == "said"  # whoever came before is in
            assert len(waiting) == PARALLEL
            go_on.set()
            await until(lambda: world.counted("pointsman_version_questions", result="said") == 4 * PARALLEL)
            asking.stop()

    uvloop.run(play())


FILE = """
route: web
match: {path: /v2/models/m}
protocol: oip-v2
ask_versions: yes
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://h:1"}, v2: {upstream: "http://h:2", set: {path: /v2/models/n}}}
default: v1
"""


def read(text: str) -> Flag:
    return flag_of(parse_documents(load(text, "route.yaml")).routes["web"][0])


def test_a_file_opts_in_and_says_nothing_otherwise() -> None:
    asking, plain = read(FILE), read(FILE.replace("ask_versions: yes\n", ""))
    assert (asking.serving, plain.serving) == (ASKING, None)
    assert Flag.parse(asking.encode()) == asking
    assert b"ask_versions" not in read(FILE.replace("ask_versions: yes", "cost: x-cost")).encode()
    assert [line.partition(":")[0] for line in route_differences(plain, asking)] == ["serving"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("oip-v2", "oip-v1", "expected ask_versions with a protocol that has such a question: oip-v2"),
        ("/v2/models/m}", "/v2}", r"arms.v1: expected a path with '/models/NAME'.*found '/v2'"),
        ("path: /v2/models/n", "path: /x", r"arms.v2: expected a path with '/models/NAME'.*found '/x'"),
        ("h:1", "h:1/infer", r"arms.v1: expected a path with '/models/NAME'.*found '/infer'"),
    ],
)
def test_what_cannot_be_asked_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        read(FILE.replace(old, new))


@pytest.mark.parametrize("base", ["/v2/models/a", "/v2/models/a/versions/3"])
def test_the_model_may_stand_in_the_upstream(base: str) -> None:
    made = read(FILE.replace("/v2/models/m}", "/v2}").replace("h:1", f"h:1{base}"))
    assert made.serving == ASKING
    assert [name for name, row in ROWS.items() if row.versions] == ["oip-v2"]
