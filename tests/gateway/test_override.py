"""A file that overrides flags on one host: what it may say, what it does, and that it never makes things worse."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.flag import Flag
from router.gateway import override
from router.gateway.held import HeldFlags
from router.gateway.override import OverrideFile
from router.store.watch import Stored
from tests.gateway.flags import Bench, experiment, flag, head


class Host:
    """The flags of a worker beside a folder, without a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench()
        log = logging.getLogger("test")
        self.held = HeldFlags(
            self.bench.gate, self.bench.compiler, self.bench.row, folder, log, lambda new, old: None
        )

    def store(self, *flags: Flag) -> None:
        self.held.moved({one.route: Stored(one, one.encode()) for one in flags}, set(), "s")

    def write(self, **what: Any) -> None:
        text = json.dumps({"reason": "Redis is down", **what})
        (self.folder / override.NAME).write_text(text)
        self.held.look_at_file()

    def remove(self) -> None:
        (self.folder / override.NAME).unlink()
        self.held.look_at_file()

    def arm(self, unit: str = "ana", path: str = "/v2/x") -> str:
        arm = self.bench.gate.route(head(path, x_person=unit), None).arm
        assert arm is not None
        return arm.name

    def arms(self) -> set[str]:
        return {self.arm(f"u{number}") for number in range(40)}

    def shown(self) -> Any:
        return self.held.state()["override"]


Scenario = Callable[[Host], None]


def on_a_host(folder: Path, steps: Scenario) -> None:
    async def run() -> None:
        host = Host(folder)
        host.store(flag(experiments=(experiment(),)), flag("other", "/other"))
        steps(host)
        await host.held.saved()

    asyncio.run(run())


def test_a_killed_arm_gets_nobody_until_the_file_is_gone(tmp_path: Path) -> None:
    def steps(host: Host) -> None:
        assert host.arms() == {"v1", "v2"}
        host.write(kill=["web/v2"])
        assert host.arms() == {"v1"}
        expected = {"reason": "Redis is down", "kill": ["web/v2"], "default": {}, "problems": []}
        assert host.shown() == expected
        host.remove()
        assert host.arms() == {"v1", "v2"}
        assert host.shown() is None

    on_a_host(tmp_path, steps)


def test_a_flag_is_killed_and_another_arm_made_the_default_beside_others_that_stay(tmp_path: Path) -> None:
    def steps(host: Host) -> None:
        host.write(kill=["web"])
        assert host.arms() == {"v1"}
        host.write(kill=["web"], default={"web": "v2", "other": "v2"})
        assert host.arms() == {"v2"}
        assert host.arm(path="/other") == "v2"
        host.write(kill=["web/v1"], default={"web": "v2"})
        assert host.arms() == {"v2"}
        assert host.arm(path="/other") == "v1"

    on_a_host(tmp_path, steps)


def test_it_stands_above_what_the_store_says_later_and_the_store_s_word_counts_after_it(
    tmp_path: Path,
) -> None:
    def steps(host: Host) -> None:
        host.write(kill=["web/v2"])
        host.store(flag(revision=2, experiments=(experiment(),), default="v1"))
        assert host.arms() == {"v1"}
        assert host.held.revisions()["web"] == 2
        host.store(flag("third", "/third"))
        host.write(kill=["web/v2", "third"])
        host.remove()
        assert host.arms() == {"v1", "v2"}

    on_a_host(tmp_path, steps)


def test_it_is_never_kept_as_if_the_store_had_said_it(tmp_path: Path) -> None:
    def steps(host: Host) -> None:
        host.write(kill=["web"])
        host.store(flag(revision=2, experiments=(experiment(),)))

    on_a_host(tmp_path, steps)
    (tmp_path / override.NAME).unlink()

    def again(host: Host) -> None:
        host.held.load()
        assert host.arms() == {"v1", "v2"}

    asyncio.run(_again(tmp_path, again))


async def _again(folder: Path, steps: Scenario) -> None:
    host = Host(folder)
    steps(host)
    await host.held.saved()


def test_a_worker_that_starts_under_an_override_obeys_it_from_its_first_request(tmp_path: Path) -> None:
    on_a_host(tmp_path, lambda host: None)
    (tmp_path / override.NAME).write_text('{"reason": "x", "kill": ["web/v2"]}')

    def steps(host: Host) -> None:
        host.held.load()
        assert host.arms() == {"v1"}

    asyncio.run(_again(tmp_path, steps))


def test_what_cannot_be_done_is_told_with_the_nearest_name_and_the_rest_is_done(tmp_path: Path) -> None:
    def steps(host: Host) -> None:
        host.write(kill=["wep/v2", "web/v3", "web/v1", "web/v2"], default={"other": "v9"})
        assert host.arms() == {"v1"}
        assert host.shown()["problems"] == [
            "kill: expected a route of this gateway, found 'wep' - did you mean 'web'?",
            "kill: expected one of the arms v1, v2 of web, found 'v3'",
            "kill: expected an arm other than the default, found 'v1' - kill web itself, or name another default",
            "default: expected one of the arms v1, v2 of other, found 'v9'",
        ]

    on_a_host(tmp_path, steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "expected JSON such as"),
        (b"\xff", "expected JSON such as"),
        (b'{"reason": "x", "kil": []}', "unknown field `kil`"),
        (b'{"kill": ["web"]}', "missing required field `reason`"),
        (b'{"reason": " ", "kill": ["web"]}', "expected a reason"),
        (b'{"reason": "x", "kill": [' + b'"web",' * 1_000 + b'"web"]}', "at most 1000 routes"),
        (b'{"reason": "' + b"x" * override.LARGEST + b'"}', "at most 65536 octets"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_what_was_overridden_before(
    text: bytes, said: str, tmp_path: Path
) -> None:
    def steps(host: Host) -> None:
        host.write(kill=["web/v2"])
        (host.folder / override.NAME).write_bytes(text)
        host.held.look_at_file()
        assert host.arms() == {"v1"}
        assert said in host.shown()["problems"][0]

    on_a_host(tmp_path, steps)


def test_a_file_that_is_the_same_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / override.NAME).write_text('{"reason": "x", "kill": ["web"]}')
    file = OverrideFile(tmp_path)
    assert file.look()
    assert not file.look()
    (tmp_path / override.NAME).write_text('{"reason": "x",  "kill": ["web"]}')
    assert not file.look()  # another text that says the same
