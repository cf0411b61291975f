"""Which route takes a request; what a change of flags keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SpecError
from router.flag import Arm, Flag, Lane, RunningExperiment
from router.gateway.counters import Counters
from router.gateway.snapshot import Compiler, Snapshot
from tests.gateway.flags import FakeUpstream, flag, head


def compiler() -> Compiler:
    return Compiler(FakeUpstream, Counters(None).row(1), 30_000, 600_000)


def snapshot(*flags: Flag) -> Snapshot:
    made = compiler()
    return Snapshot({one.route: made.compile(one) for one in flags}, "store")


def taker(shot: Snapshot, target: str, **fields: str) -> str | None:
    route = shot.find(head(target, **fields))
    return route.flag.route if route else None


def test_a_path_matches_at_the_border_of_a_segment() -> None:
    shot = snapshot(flag("a", "/v2/models/a"))
    assert taker(shot, "/v2/models/a") == "a"
    assert taker(shot, "/v2/models/a/infer?x=/b") == "a"
    assert taker(shot, "/v2/models/ab") is None
    assert taker(shot, "/v2/models") is None
    assert taker(shot, "/V2/models/a") is None
    assert taker(shot, "/") is None


def test_the_longest_path_wins_and_the_root_takes_the_rest() -> None:
    shot = snapshot(flag("root", "/"), flag("v2", "/v2"), flag("a", "/v2/models/a"))
    assert taker(shot, "/v2/models/a/infer") == "a"
    assert taker(shot, "/v2/models/b") == "v2"
    assert taker(shot, "/other") == taker(shot, "/") == taker(shot, "//x") == "root"


def test_a_route_with_the_host_goes_before_one_without() -> None:
    shot = snapshot(flag("any", "/v2/models"), flag("here", "/", host="Models.Example"))
    assert taker(shot, "/v2/models/x", host="models.example") == "here"
    assert taker(shot, "/v2/models/x", host="MODELS.example:8320") == "here"
    assert taker(shot, "/v2/models/x", host="other.example") == "any"
    assert taker(shot, "/else", host="other.example") is None


def test_a_route_with_more_header_fields_goes_first() -> None:
    shot = snapshot(flag("plain"), flag("beta", headers=(("x-tier", "beta"),)))
    assert taker(shot, "/v2/x", x_tier="beta") == "beta"
    assert taker(shot, "/v2/x", x_tier="other") == "plain"
    assert taker(shot, "/v2/x") == "plain"


PATHS = st.lists(st.sampled_from("abc"), max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(PATHS, unique=True, max_size=6), PATHS)
def test_the_table_finds_what_trying_all_routes_finds(paths: list[str], target: str) -> None:
    shot = snapshot(*(flag(f"r{number}", path) for number, path in enumerate(paths)))
    fitting = [path for path in paths if path == "/" or (target + "/").startswith(path + "/")]
    expected = f"r{paths.index(max(fitting, key=len))}" if fitting else None
    assert taker(shot, target) == expected


@given(st.lists(st.tuples(PATHS, st.sampled_from(["", "h", "i"]), st.booleans()), max_size=12), PATHS)
def test_a_table_changed_step_by_step_is_the_table_made_at_once(
    steps: list[tuple[str, str, bool]], target: str
) -> None:
    made, shot, now = compiler(), Snapshot({}, "store"), {}
    for number, (path, host, stays) in enumerate(steps):
        name = f"r{number % 4}"
        if stays:
            now[name] = made.compile(flag(name, path, host=host or None))
            shot = shot.changed({name: now[name]}, (), "store")
        else:
            now.pop(name, None)
            shot = shot.changed({}, {name}, "store")
    whole = Snapshot(now, "store")
    for host in ("h", "i", "j"):
        assert shot.find(head(target, host=host)) is whole.find(head(target, host=host))
    assert shot.routes == whole.routes


def test_a_path_of_many_segments_is_looked_up_no_deeper_than_the_routes_go() -> None:
    shot = snapshot(flag("a", "/v2/a"), flag("root", "/"))
    assert taker(shot, "/v2/a" + "/x" * 5_000) == "a"
    assert taker(shot, "/" * 5_000) == "root"


def test_a_change_keeps_the_other_routes_and_the_old_snapshot() -> None:
    made = compiler()
    old = Snapshot({name: made.compile(flag(name, f"/{name}")) for name in ("a", "b", "c")}, "store")
    new = old.changed({"a": made.compile(flag("a", "/moved", revision=2))}, {"c"}, "store")
    assert taker(new, "/moved") == "a"
    assert taker(new, "/a") is None
    assert taker(new, "/c") is None
    assert new.routes["b"] is old.routes["b"]
    assert taker(old, "/a") == "a"
    assert taker(old, "/c") == "c"


def test_arms_on_one_server_share_its_pool_and_pools_outlive_changes() -> None:
    made = compiler()
    arms = (Arm("v1", "http://h:1/one"), Arm("v2", "http://h:1/two"))
    first = made.compile(flag(arms=arms))
    second = made.compile(flag(arms=arms, revision=2))
    pools = {id(arm.upstream) for route in (first, second) for arm in route.arms.values()}
    assert len(pools) == 1
    made.swapped([first], [])
    made.swapped([second], [first])
    assert not first.default.upstream.closed
    third = made.compile(flag(arms=(Arm("v1", "http://h:2"),), revision=3))
    made.swapped([third], [second])
    assert (first.default.upstream.closed, third.default.upstream.closed) == (True, False)


@pytest.mark.parametrize("name", ["a\r\nx: y", "", "a b", "ä"])
def test_a_name_that_could_write_a_header_field_is_refused(name: str) -> None:
    lanes = (Lane("v2", "treatment", 0, 1), Lane("v1", "control", 1, 1))
    with pytest.raises(SpecError, match="printable ASCII"):
        compiler().compile(flag(experiments=(RunningExperiment(name, "e", 1, "s", lanes),)))
