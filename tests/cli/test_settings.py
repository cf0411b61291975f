"""Settings: file, environment, flags, each weighing more; nothing that is not known is taken, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from router.cli.processes import load_settings
from router.errors import SpecError
from router.gateway.app import serve
from router.settings import OF_A_SERVICE, TABLE, Settings, is_loopback

WORLD = (
    "0.0.0.0:80",
    "[::]:80",
    "10.0.0.1:80",
    "127.evil.com:80",
    "localhost.evil.com:80",
    "127.0.0.1.evil.com:80",
)
HERE = ("127.0.0.1:80", "127.8.9.1:80", "[::1]:80", "localhost:80")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for row in TABLE:
        monkeypatch.delenv(f"POINTSMAN_{row.name.upper()}", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


def of_file(text: str, *pairs: str) -> Settings:
    path = Path("settings.yaml")
    path.write_text(text)
    return load_settings(path, pairs)


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as problem:
        of_file(text)
    return str(problem.value)


def test_each_source_weighs_more_than_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "flush_ms: 1\nflush_rows: 2\nprefix: 'file:'\nredis_url: redis://file"
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    assert load_settings(None, ()).redis_url == "redis://environment"
    monkeypatch.setenv("POINTSMAN_FLUSH_ROWS", "3")
    monkeypatch.setenv("POINTSMAN_PREFIX", "environment:")
    found = of_file(text, "prefix=flag:")
    assert (found.flush_ms, found.flush_rows, found.prefix, found.redis_url) == (
        1,
        3,
        "flag:",
        "redis://file",
    )


def test_a_flag_of_its_own_weighs_like_set_and_its_absence_like_nothing() -> None:
    assert load_settings(None, ("api_bind=127.0.0.1:1",), api_bind=None).api_bind == "127.0.0.1:1"
    assert load_settings(None, ("api_bind=127.0.0.1:1",), api_bind="127.0.0.1:2").api_bind == "127.0.0.1:2"


def test_no_text_becomes_another_value() -> None:
    found = of_file("token: 12:30\nprefix: on\ndata_dir: 1.10\nlog_level: 0x1F")
    assert (found.token, found.prefix, found.data_dir, found.log_level) == ("12:30", "on", "1.10", "0x1F")
    assert of_file("").prefix == "pointsman:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flush_ms: 1\nflush_ms: 2", "settings.yaml:2:1: flush_ms: expected each key once"),
        (
            "prefix: a\nfluhs_ms: 1",
            "settings.yaml:2:1: settings.fluhs_ms: expected a known setting, found 'fluhs_ms'",
        ),
        ("fluhs_ms: 1", "did you mean 'flush_ms'?"),
        (
            "flush_ms: 1.5",
            "settings.yaml:1:1: settings.flush_ms: expected a whole number of at least 0, found '1.5'",
        ),
        ("flush_ms: -1", "found '-1'"),
        ("flush_ms: [1]", "expected one value, found a list"),
        ("prefix: {a: 1}", "expected one value, found a mapping"),
        ("prefix:", "expected one value, found nothing"),
        (
            "gateway_bind: foo",
            "settings.gateway_bind: expected HOST:PORT such as 127.0.0.1:8320, found 'foo'",
        ),
        ("- a\n- b", "settings.yaml:1:1"),
        ("a: [", "settings.yaml:1:5: expected YAML"),
        ("prefix: a\n---\nprefix: b", "settings.yaml: expected one document, found 2"),
        ("fluhs_ms: 1\nflush_ms: x", "flush_ms: expected a whole number"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_file_that_is_no_text_is_refused_by_its_name() -> None:
    Path("settings.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"settings\.yaml: expected a readable YAML file"):
        load_settings(Path("settings.yaml"), ())


def test_an_unknown_name_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_GATEWAY_BNID", "127.0.0.1:1")
    with pytest.raises(SpecError, match=r"environment\.gateway_bnid.*did you mean 'gateway_bind'"):
        load_settings(None, ())


@pytest.mark.parametrize(
    "name",
    ["RUN", "PARENT", "API", "SERVICE_HOST", "API_PORT_8321_TCP_ADDR", "GATEWAY_SERVICE_PORT_HTTP", "PORT"],
)
def test_names_that_others_set_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of the launcher, of a parent, of the commands; and what Kubernetes gives to pods beside a Service of our name."""
    monkeypatch.setenv(f"POINTSMAN_{name}", "tcp://10.0.0.1:80")
    assert load_settings(None, ()) == Settings.load({})


def test_no_setting_is_taken_for_a_name_of_others() -> None:
    assert [row.name for row in TABLE if OF_A_SERVICE.fullmatch(f"POINTSMAN_{row.name}".upper())] == []


def test_a_child_reads_the_settings_of_its_parent() -> None:
    settings = replace(Settings.load({}), token="12:30", flush_ms=7, gateway_bind="[::1]:5")
    assert Settings.load(settings.as_environ()) == settings


@pytest.mark.parametrize(
    "bind", ["foo", ":80", "a:", "a:b", "a:65536", "::1:80", "[a]:80", "http://a:80", "a b:80", ""]
)
def test_an_address_that_is_none_is_refused(bind: str) -> None:
    with pytest.raises(SpecError, match="expected HOST:PORT"):
        load_settings(None, (f"gateway_bind={bind}",))


@pytest.mark.parametrize("bind", [*WORLD, *HERE])
def test_only_this_machine_is_loopback(bind: str) -> None:
    assert is_loopback(bind) == (bind in HERE)


@pytest.mark.parametrize("bind", WORLD)
def test_the_gateway_refuses_to_listen_to_the_world_without_a_token(bind: str) -> None:
    with pytest.raises(SpecError, match="POINTSMAN_TOKEN"):
        serve(load_settings(None, (f"gateway_bind={bind}", "redis_url=redis://127.0.0.1:1")))
