"""The libraries by which people ask model servers, unmodified: through the gateway all is as it is without it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from router.flag import Arm
from tests.clients.model_server import CHAT, STREAM, Handler, ModelServer
from tests.gateway.flags import experiment
from tests.gateway.running import World

PERSON = {"X-Person": "ann"}
MESSAGES = [{"role": "user", "content": "hallo"}]


WRK = shutil.which("wrk")
# Asks for a chat and holds each answer against the whole one.
SAME = """
wrk.method, wrk.path, wrk.body = "POST", "/v1/chat/completions", '{"model":"m"}'
local wanted = [==[CHAT]==]
local thread
answers, others = 0, 0
function setup(one) thread = one end
function response(status, headers, body)
    answers = answers + 1
    if status ~= 200 or body ~= wanted then others = others + 1 end
end
function done() print("SAME " .. thread:get("answers") .. " " .. thread:get("others")) end
""".replace("CHAT", json.dumps(CHAT))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A model server's address, and the gateway's in front of it."""
    with ModelServer(("127.0.0.1", 0), Handler) as server, World(tmp_path_factory.mktemp("world")) as world:
        arms = (Arm("v1", server.url), Arm("v2", server.url))
        world.put(world.flag(arms=arms, experiments=(experiment(),), protocol="openai"))
        scoring: dict[str, Any] = {"path": "/invocations", "protocol": "mlflow", "places": (("request", ""),)}
        run = replace(experiment(), run="s.1")
        world.put(world.flag(route="scoring", arms=arms, experiments=(run,), **scoring))
        world.start()
        yield server.url, f"http://127.0.0.1:{world.port}"


def counted(url: str, name: str, *labels: str) -> float:
    """A metric of the gateway, over all samples with these labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as got:
        lines = got.read().decode().splitlines()
    found = [line for line in lines if line.startswith(name + "{") and all(part in line for part in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def chat(url: str) -> Any:
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", default_headers=PERSON, max_retries=0)


def test_openai_chat(places: tuple[str, str]) -> None:
    found = []
    for url in places:
        with chat(url) as client:
            raw = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
            found.append((raw.content, raw.headers["x-request-id"], raw.parse()))
    assert found[0] == found[1]
    assert found[1][0] == json.dumps(CHAT).encode()


def test_openai_streams(places: tuple[str, str]) -> None:
    found = []
    for url in places:
        with chat(url) as client:
            options = {"include_usage": True}
            stream = client.chat.completions.create(
                model="m", messages=MESSAGES, stream=True, stream_options=options
            )
            found.append([chunk.model_dump() for chunk in stream])
    assert found[0] == found[1]
    assert len(found[1]) == len(STREAM) - 1
    assert found[1][-1]["usage"]["completion_tokens"] == 3


def test_openai_embeddings_and_errors(places: tuple[str, str]) -> None:
    openai = pytest.importorskip("openai")
    found = []
    for url in places:
        with chat(url) as client:
            vector = client.embeddings.create(model="e", input="x", encoding_format="float").data[0].embedding
            with pytest.raises(openai.NotFoundError) as problem:
                client.chat.completions.create(model="unknown", messages=MESSAGES)
            found.append((vector, problem.value.code, problem.value.body))
    assert found[0] == found[1]


def test_openai_understands_an_error_of_ours(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    with World(tmp_path) as world:
        world.put(world.flag(arms=(Arm("v1", "http://127.0.0.1:1"),), default="v1", protocol="openai"))
        world.start()
        with (
            chat(f"http://127.0.0.1:{world.port}") as client,
            pytest.raises(openai.InternalServerError) as problem,
        ):
            client.chat.completions.create(model="m", messages=MESSAGES)
        assert (problem.value.status_code, problem.value.code) == (502, "connect_failed")


@pytest.mark.parametrize("binary", [True, False])
def test_triton_with_binary_tensors(places: tuple[str, str], binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http")
    data = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = []
    for url in places:
        with http.InferenceServerClient(url.removeprefix("http://")) as client:
            tensor = http.InferInput("IN", data.shape, "FP32")
            tensor.set_data_from_numpy(data)
            wanted = [http.InferRequestedOutput("OUT", binary_data=binary)]
            answer = client.infer("m", [tensor], outputs=wanted, request_id="7", headers=dict(PERSON))
            assert client.is_server_ready(headers=dict(PERSON))
            assert client.get_model_metadata("m", headers=dict(PERSON))["versions"] == ["1"]
            found.append((answer.get_response(), answer.as_numpy("OUT").tobytes()))
    assert found[0] == found[1]
    assert found[1][1] == data.tobytes()


def test_requests(places: tuple[str, str]) -> None:
    requests = pytest.importorskip("requests")
    found = []
    for url in places:
        with requests.Session() as session:
            session.headers.update(PERSON)
            sent = session.post(f"{url}/echo", data=(part for part in (b"a" * 70_000, b"b")))
            file = session.post(f"{url}/echo", files={"image": ("x.png", b"\x89PNG\x00")})
            got = session.get(f"{url}/big")
            bare = session.head(f"{url}/big")
            fields = [got.headers[name] for name in ("X-Custom", "ETag", "Content-Length", "Content-Type")]
            part = file.content.partition(b"\r\n")[2][:60]  # behind the boundary, which is drawn
            found.append((sent.content, part, got.content, fields, bare.headers["Content-Length"]))
    assert found[0] == found[1]
    assert found[1][0] == b"a" * 70_000 + b"b"


# In a process of its own: what it warns of at its import is its own matter.
SCORING = """
import sys
import pandas
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
frame = pandas.DataFrame({"a": [1, 3], "b": [2, 4]})
for port in sys.argv[1:]:
    print(ScoringServerClient("127.0.0.1", port).invoke(frame).to_json())
"""


def test_mlflows_scoring_client(places: tuple[str, str]) -> None:
    pytest.importorskip("pandas")
    ports = [url.rpartition(":")[2] for url in places]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCORING, *ports], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    direct, through = done.stdout.splitlines()
    assert direct == through
    assert json.loads(through) == {"predictions": [3, 7]}
    answers = counted(places[1], "pointsman_requests_total", 'route="scoring"', 'status="2xx"')
    assert answers == 1


def test_httpx_and_aiohttp(places: tuple[str, str]) -> None:
    httpx, aiohttp = pytest.importorskip("httpx"), pytest.importorskip("aiohttp")

    async def ask(url: str) -> tuple[bytes, bytes, bytes]:
        async with httpx.AsyncClient(headers=dict(PERSON)) as client:
            first = (await client.post(f"{url}/echo", content=b"x" * 100_000)).content
            async with client.stream(
                "POST", f"{url}/v1/chat/completions", json={"model": "m", "stream": True}
            ) as got:
                streamed = b"".join([part async for part in got.aiter_raw()])
        async with (
            aiohttp.ClientSession(headers=dict(PERSON)) as session,
            session.post(f"{url}/echo", data=b"y" * 100_000) as answer,
        ):
            return first, streamed, await answer.read()

    direct, through = (asyncio.run(ask(url)) for url in places)
    assert direct == through
    assert through[1] == b"".join(STREAM)


@pytest.mark.parametrize(
    "options", [[], ["--http1.0"], ["-H", "Expect: 100-continue", "-d", "x" * 2000], ["-I"]]
)
def test_curl(places: tuple[str, str], options: list[str]) -> None:
    found = []
    for url in places:
        path = "echo" if "-d" in options else "big"
        command = ["curl", "-sS", "-H", "X-Person: ann", *options, f"{url}/{path}"]
        octets = subprocess.run(command, capture_output=True, check=True).stdout
        if "-I" in options:
            lines = octets.decode().lower().splitlines()
            octets = "\n".join(
                sorted(one for one in lines if one.startswith(("content-", "etag", "x-custom")))
            ).encode()
        found.append(octets)
    assert found[0] == found[1]
    assert len(found[1]) > 50


@pytest.mark.skipif(WRK is None, reason="wrk is not installed")
def test_wrk_gets_the_same_octets_again_and_again(places: tuple[str, str], tmp_path: Path) -> None:
    script = tmp_path / "same.lua"
    script.write_text(SAME)
    for url in places:
        command = [str(WRK), "-t1", "-c8", "-d1s", "-H", "X-Person: ann", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        answers, others = said.rpartition("SAME ")[2].split()[:2]
        assert int(answers) > 50, said
        assert int(others) == 0, said
        assert "Socket errors" not in said


def test_the_gateway_adds_its_own_fields_and_nothing_else(places: tuple[str, str]) -> None:
    requests = pytest.importorskip("requests")
    direct, through = (requests.get(f"{url}/big", headers=dict(PERSON)).headers for url in places)
    added = {name.lower() for name in through} - {name.lower() for name in direct}
    assert added == {"pointsman-experiment", "pointsman-arm", "pointsman-revision", "pointsman-decision"}
    assert {name.lower() for name in direct} <= {name.lower() for name in through}
