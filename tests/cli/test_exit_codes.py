"""Every command ends with 0 yes, 1 no, 2 trouble or 3 not decided: one row per command and outcome."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest

from router.cli import COMMANDS
from router.cli.exits import NO, NOT_DECIDED, TROUBLE, YES
from tests.cli.conftest import Ask
from tests.cli.live import Up, start

NOBODY = "http://127.0.0.1:1"
DEAD = {"REDIS_URL": "redis://127.0.0.1:1/0"}
ROUTE = "route: r\nunit: {kind: person, from: [request]}\narms: {v1: {upstream: 'http://127.0.0.1:1'}}\ndefault: v1\n"
INIT = "init --control http://127.0.0.1:9001 --treatment http://127.0.0.1:9002"

# command line, exit code, a part of what it says. Nothing of this needs a running process.
ALONE = [
    ("version", YES, "pointsman "),
    ("--help", YES, "Exit codes"),
    ("vresion", TROUBLE, "did you mean 'version'?"),
    ("version --loud", TROUBLE, "--loud"),
    ("validate good.yaml", YES, "valid: 1 route"),
    ("validate bad.yaml", NO, "bad.yaml:5:1"),
    ("validate bad.yaml bad2.yaml", NO, "bad2.yaml:1"),
    ("validate none.yaml", TROUBLE, "none.yaml"),
    ("validate", TROUBLE, "FILES"),
    ("plan none.yaml", TROUBLE, "none.yaml"),
    ("estimate none.yaml --units-per-hour 100", TROUBLE, "none.yaml"),
    ("estimate good.yaml --units-per-hour 100", TROUBLE, "one experiment"),
    ("degradation none.jsonl", TROUBLE, "none.jsonl"),
    ("apply none.yaml", TROUBLE, "none.yaml"),
    (f"plan good.yaml --api {NOBODY}", TROUBLE, "no API at"),
    (f"apply good.yaml --api {NOBODY}", TROUBLE, "no API at"),
    (f"status --api {NOBODY}", TROUBLE, "no API at"),
    (f"verdict e --api {NOBODY}", TROUBLE, "no API at"),
    (f"history e --api {NOBODY}", TROUBLE, "no API at"),
    (f"promote e --reason r --yes --api {NOBODY}", TROUBLE, "no API at"),
    (f"rollback e --reason r --yes --api {NOBODY}", TROUBLE, "no API at"),
    (f"pause e --reason r --yes --api {NOBODY}", TROUBLE, "no API at"),
    (f"resume e --reason r --yes --api {NOBODY}", TROUBLE, "no API at"),
    (f"roll e --arm v2 --reason r --api {NOBODY}", TROUBLE, "no API at"),
    (f"explain --unit u --api {NOBODY}", TROUBLE, "no API at"),
    (f"simulate-assignment r --units units.txt --api {NOBODY}", TROUBLE, "no API at"),
    (f"kill r --arm v2 --reason r --api {NOBODY}", TROUBLE, "no API at"),
    (f"unkill r --reason r --api {NOBODY}", TROUBLE, "no API at"),
    (f"force r v2 --api {NOBODY}", TROUBLE, "no API at"),
    (f"rollback-flag r --to 1 --reason r --api {NOBODY}", TROUBLE, "no API at"),
    (f"delete r --reason r --api {NOBODY}", TROUBLE, "no API at"),
    (f"export --api {NOBODY}", TROUBLE, "no API at"),
    (f"layers --api {NOBODY}", TROUBLE, "no API at"),
    ("simulate-assignment r", TROUBLE, "expected units"),
    ("simulate-assignment r --units none.txt", TROUBLE, "none.txt"),
    ("explain --unit u --attribute plan", TROUBLE, "NAME=VALUE"),
    ("kill r", TROUBLE, "--reason"),
    ("promote e", TROUBLE, "--reason"),
    (INIT, YES, "wrote route.yaml"),
    ("init --control here --treatment there", TROUBLE, "--control: expected a URL"),
    (INIT + " --folder taken", TROUBLE, "nothing was written"),
    ("doctor", YES, "redis"),
    ("demo --port -1", TROUBLE, "--port"),
    ("demo --port 70000", TROUBLE, "--port"),
    ("demo --scenario none", TROUBLE, "--scenario"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "text"), ALONE, ids=[row[0] for row in ALONE])
def test_alone(ask: Ask, tmp_path: Path, line: str, code: int, text: str) -> None:
    (tmp_path / "good.yaml").write_text(ROUTE)
    (tmp_path / "bad.yaml").write_text(ROUTE + "colour: red\n")
    (tmp_path / "bad2.yaml").write_text("route: r2\nrout: x\n")
    (tmp_path / "units.txt").write_text("ana\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "route.yaml").write_text("mine")
    said = ask(*shlex.split(line))
    assert (said.code, text in said.out + said.err) == (code, True), said
    assert (tmp_path / "taken" / "route.yaml").read_text() == "mine"


@pytest.mark.parametrize("command", ["gateway", "api", "controller", "up"])
@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--set coluor=red", "coluor"),
        ("--set colour", "NAME=VALUE"),
        ("--set gateway_workers=many", "flags.gateway_workers: expected a whole number"),
        ("--set gateway_bind=foo", "flags.gateway_bind: expected HOST:PORT"),
        ("--settings none.yaml", "none.yaml"),
    ],
)
def test_a_bad_setting_is_trouble(ask: Ask, command: str, words: str, text: str) -> None:
    said = ask(command, *words.split())
    assert (said.code, text in said.err) == (TROUBLE, True), said


@pytest.mark.parametrize("command", ["gateway", "api", "controller"])
def test_a_role_without_a_redis_is_trouble_before_it_listens(ask: Ask, command: str) -> None:
    said = ask(command)
    assert (said.code, "REDIS_URL" in said.err) == (TROUBLE, True), said


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_a_given_redis_that_does_not_answer_is_trouble(ask: Ask, command: str) -> None:
    said = ask(command, environ=DEAD)
    assert said.code == TROUBLE
    assert "redis://127.0.0.1:1/0 does not answer" in said.out + said.err
    assert "unset REDIS_URL" in said.out + said.err


def test_a_busy_port_is_trouble(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        roles = [start(role, "--bind", bind, folder=tmp_path, **DEAD) for role in ("gateway", "api")]
        for role in roles:
            _, err = role.communicate(timeout=20)
            assert (role.returncode, "in use" in err) == (TROUBLE, True), err


# On a running `up`, in this order: who, what, then what follows from it.
LIVE = [
    ("status", YES, "open-treatment"),
    ("status open-treatment", NOT_DECIDED, "open-treatment"),
    ("status nosuch", TROUBLE, "no experiment named 'nosuch'"),
    ("verdict open-treatment", NOT_DECIDED, "inconclusive"),
    ("verdict open-treatmnet", TROUBLE, "did you mean 'open-treatment'?"),
    ("history open-treatment", YES, "pointsman up"),
    ("history nosuch", TROUBLE, "no experiment"),
    ("explain --unit ana", YES, "unit 'ana' gets arm"),
    ("explain --unit ana --route open", YES, "open: unit 'ana'"),
    ("explain --unit ana -e open-treatment", YES, "open: unit 'ana'"),
    ("explain --unit ana --route nope", TROUBLE, "no route named 'nope'"),
    ("explain --unit ana -e nope", TROUBLE, "no experiment named 'nope'"),
    ("resume open-treatment --reason r --yes", NO, "cannot resume"),
    ("pause open-treatment --reason r", NO, "nothing was done"),
    ("pause open-treatment --reason r --yes", YES, ""),
    ("resume open-treatment --reason r --yes", YES, ""),
    ("roll open-treatment --arm treatment --declares b7 --reason r", YES, "rolled to 'b7'"),
    ("roll open-treatment --arm treatment --reason r", TROUBLE, "were declared to say 'b7'"),
    ("roll open-treatment --arm nosuch --reason r", TROUBLE, "nosuch"),
    ("pause nosuch --reason r --yes", TROUBLE, "no experiment"),
    ("promote good-treatment --reason r --yes", YES, ""),
    ("verdict good-treatment", YES, "PROMOTED"),
    ("status good-treatment", YES, "promoted"),
    ("promote good-treatment --reason r --yes", NO, "cannot promote"),
    ("rollback bad-treatment --reason r --yes", YES, ""),
    ("verdict bad-treatment", NO, "ROLLED"),
    ("status bad-treatment", NO, "rolled_back"),
    ("plan good", YES, "file behind"),
    ("plan --exit-code good", YES, "nothing"),
    ("plan --exit-code more.yaml", NO, "create"),
    ("plan bad.yaml", NO, "colour"),
    ("apply bad.yaml", NO, "colour"),
    ("apply --dry-run more.yaml", YES, "create"),
    ("apply more.yaml", YES, "create"),
    ("apply more.yaml", YES, "nothing"),
    ("apply more.yaml --expect more=7", NO, "expected revision 7, found 1"),
    ("apply more.yaml --expect more", TROUBLE, "ROUTE=REVISION"),
    ("simulate-assignment more --units units.txt", YES, "v1"),
    ("simulate-assignment nope --units units.txt", TROUBLE, "no route named 'nope'"),
    ("kill more --arm v1 --reason r", TROUBLE, "an arm other than the default"),
    ("kill more --reason r", YES, "everyone gets the default arm"),
    ("unkill more --reason r", YES, "killed now: nothing"),
    ("kill good --arm control --reason r", YES, "killed now: control"),
    ("unkill good --arm control --reason r", YES, "killed now: nothing"),
    ("force more v1 --for '10 min'", YES, "Pointsman-Force: "),
    ("rollback-flag more --to 1 --reason r", YES, "is as revision 1 was"),
    ("rollback-flag more --to 99 --reason r", TROUBLE, "99"),
    ("export -o all.yaml", YES, "wrote all.yaml"),
    ("apply all.yaml", YES, "nothing"),
    ("layers", YES, ""),
    ("delete nosuch --dry-run", TROUBLE, "no route named 'nosuch'"),
    ("delete more --dry-run", YES, "- route more at revision"),
    ("delete more", TROUBLE, "--reason"),
    ("delete open --reason r", NO, "--end-runs rolls it back first"),
    ("delete more --reason r", YES, "more is deleted with revision"),
    ("rollback-flag more --to 1 --reason r", YES, "is as revision 1 was"),
    ("doctor", YES, "gateway workers alive"),
]


def test_on_a_running_system_every_command_ends_as_it_says(
    ask: Ask, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(up.folder)  # where `up` left its address
    (up.folder / "more.yaml").write_text(ROUTE.replace("route: r\n", "route: more\nmatch: {path: /more}\n"))
    (up.folder / "units.txt").write_text("ana\nben\n")
    (up.folder / "bad.yaml").write_text(ROUTE + "colour: red\n")
    for line, code, text in LIVE:
        said = ask(*shlex.split(line), typed="n\n")
        assert (line, said.code, text in said.out + said.err) == (line, code, True), said


def test_no_command_is_left_out() -> None:
    rows = [*(row[0] for row in (*ALONE, *LIVE)), "gateway", "api", "controller", "up"]
    assert set(COMMANDS) <= {row.split()[0] for row in rows}
