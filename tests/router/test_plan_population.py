"""Plans of flags, segments, layers and holdouts: what is refused and where, what begins a new epoch, what stays."""

from __future__ import annotations

import pytest

from router.layers import overlaps
from tests.router.world import NOW, World, actions, refused

DAY = 86_400_000
ROUTE = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://127.0.0.1:9001"}, v2: {upstream: "http://127.0.0.1:9002"}, v3: {upstream: "http://127.0.0.1:9003"}}
default: v1
attributes: {country: header:x-country}
rules: [{id: few, when: [{attribute: country, op: in_segment, values: eu}], serve: v2}]
"""
SHARED = """
segment: eu
values: [DE, FR]
---
layer: search
unit: person
cooldown: 7 d
---
holdout: year
unit: person
share: 2%
"""
EXPERIMENT = """
experiment: better
route: web
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
audience: [{attribute: country, op: not_in, values: [US]}]
holdouts: [year]
layer: search
layer_share: 40%
ramp: [1%, 10%]
"""
OTHER = EXPERIMENT.replace("better\n", "other\n", 1).replace("treatment: v2", "treatment: v3")


def test_an_experiment_gets_audience_holdout_and_its_part_of_the_layer() -> None:
    world = World()
    plan = world.apply(SHARED, ROUTE, EXPERIMENT)
    assert [action for _, action in actions(plan)] == ["create"] * 4 + ["start"]
    (running,) = world.flags["web"].experiments
    assert [condition.op for condition in running.audience] == ["not_in"]
    assert [(held.salt, held.share) for held in running.holdouts] == [("holdout:year", 20_000)]
    assert running.layer is not None
    assert (running.layer.salt, running.layer.ranges) == ("layer:search:1", ((0, 400_000),))
    # 10 % of all traffic of 40 %: a quarter of the experiment's own buckets.
    assert running.lanes[0].share == 250_000
    assert world.flags["web"].segments == (("eu", ("DE", "FR")),)
    assert world.plan(SHARED, ROUTE, EXPERIMENT).empty


def test_a_second_experiment_on_the_route_gets_other_ranges_and_the_first_keeps_its_own() -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    before = world.flags["web"].experiments
    world.apply(OTHER)
    assert world.flags["web"].experiments[0] == before[0]
    first, second = (one.layer for one in world.flags["web"].experiments)
    assert first is not None and second is not None
    assert (first.ranges, second.ranges) == (((0, 400_000),), ((400_000, 800_000),))


def test_experiments_on_two_routes_share_no_unit_inside_a_layer_and_are_independent_without() -> None:
    world = World()
    elsewhere = ROUTE.replace("route: web", "route: web2")
    on_it = OTHER.replace("route: web", "route: web2")
    world.apply(SHARED, ROUTE, elsewhere, EXPERIMENT, on_it)
    layers = [world.flags[route].experiments[0].layer for route in ("web", "web2")]
    assert [one.ranges for one in layers if one] == [((0, 400_000),), ((400_000, 800_000),)]
    assert [row["how"] for row in overlaps(world.flags.values())] == ["disjoint"]
    world = World()
    alone = [text.replace("layer: search\nlayer_share: 40%\n", "") for text in (EXPERIMENT, on_it)]
    world.apply(SHARED, ROUTE, elsewhere, *alone)
    assert [row["how"] for row in overlaps(world.flags.values())] == ["independent"]


def test_ranges_of_an_ended_run_rest_before_they_are_given_again() -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    world.apply(OTHER)
    world.end("better.1")
    third = EXPERIMENT.replace("better\n", "third\n", 1)
    said = refused(world, third, now=NOW + DAY)
    expected = (
        "expected at most 20%, the free part of layer search, found 40% - 40% rests after ended experiments"
    )
    assert f"experiments.third.layer_share: {expected}" in said
    world.apply(third, now=NOW + 7 * DAY)
    layer = world.flags["web"].experiments[-1].layer
    assert layer is not None
    assert layer.ranges == ((0, 400_000),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("values: [US]", "values: [US, CA]"),
        ("layer_share: 40%", "layer_share: 30%"),
        ("holdouts: [year]", "holdouts: []"),
        ("ramp: [1%, 10%]", "ramp: [1%, 5%]"),
    ],
)
def test_who_may_take_part_changes_by_a_new_epoch_only(old: str, new: str) -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    plan = world.plan(EXPERIMENT.replace(old, new))
    assert actions(plan) == [("better", "restart")]
    assert "of evidence are discarded" in plan.text()


def test_a_new_epoch_keeps_the_part_of_the_layer() -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    world.apply(OTHER)
    world.apply(EXPERIMENT.replace("values: [US]", "values: [US, CA]"))
    by_name = {one.experiment: one for one in world.flags["web"].experiments}
    layer = by_name["better"].layer
    assert layer is not None
    assert (by_name["better"].epoch, layer.ranges) == (3, ((0, 400_000),))
    assert by_name["other"].epoch == 2


@pytest.mark.parametrize(
    "change",
    [
        ("serve: v2", "serve: v3"),
        ("country: header:x-country", "country: query:country"),
        ("default: v1", "default: v1\nhash: sha256-64/v1"),
    ],
)
def test_a_route_that_changes_who_can_be_enrolled_restarts_its_experiments(change: tuple[str, str]) -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    plan = world.plan(ROUTE.replace(*change))
    assert actions(plan) == [("web", "change"), ("better", "restart")]
    assert "new epoch for better: its evidence restarts" in plan.text()


@pytest.mark.parametrize(
    "line", ["units: {v2: [qa-1]}", "enabled: false", "schedule: {start: 2026-01-01T00:00:00Z}"]
)
def test_lists_schedules_and_switches_leave_the_epoch(line: str) -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    assert actions(world.plan(f"{ROUTE}{line}\n")) == [("web", "change")]


def test_a_segment_changes_every_route_that_names_it_and_restarts_what_it_disturbs() -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    plan = world.apply("segment: eu\nvalues: [DE, FR, IT]\n")
    assert actions(plan) == [("eu", "change"), ("web", "change"), ("better", "restart")]
    assert world.flags["web"].segments == (("eu", ("DE", "FR", "IT")),)
    assert world.plan(ROUTE).empty


def test_what_the_product_threw_stays_when_a_file_is_applied() -> None:
    world = World()
    world.apply(SHARED, ROUTE)
    world.flags["web"] = world.flags["web"].with_kill("v2", on=True).with_kill(None, on=True)
    world.apply(f"{ROUTE}expose: id\n")
    assert (world.flags["web"].kill, world.flags["web"].killed) == (True, ("v2",))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((ROUTE.replace("in_segment", "in_segmnt"),), "files.yaml:7:47: routes.web.rules[0].when[0].op: expected an operator, found 'in_segmnt' - did you mean 'in_segment'?"),
        ((ROUTE.replace("values: eu", "values: ue"), SHARED), "files.yaml:7:63: routes.web.rules[0].when[0].values[0]: expected a segment that exists, found 'ue'"),
        ((ROUTE.replace("attribute: country", "attribute: contry"), SHARED), "routes.web.rules[0].when[0].attribute: expected a declared attribute: country, unit, found 'contry' - did you mean 'country'?"),
        ((ROUTE.replace("header:x-country", "heder:x-country"), SHARED), "routes.web.attributes.country: expected one of header"),
        ((ROUTE.replace("serve: v2", "serve: v4"), SHARED), "routes.web.rules[0].serve: expected one of the arms v1, v2, v3, found 'v4'"),
        ((ROUTE.replace("few, when", "few, wen"), SHARED), "expected a known key, found 'wen' - did you mean 'when'?"),
        ((ROUTE, SHARED, EXPERIMENT.replace("layer: search", "layer: serch")), "experiments.better.layer: expected a layer that exists, found 'serch' - did you mean 'search'?"),
        ((ROUTE, SHARED, EXPERIMENT.replace("[year]", "[yaer]")), "experiments.better.holdouts[0]: expected a holdout that exists, found 'yaer'"),
        ((ROUTE, SHARED, EXPERIMENT.replace("layer_share: 40%\n", "")), "expected a layer and its layer_share together, found the layer alone"),
        ((ROUTE, SHARED, EXPERIMENT.replace("40%", "0.00001%")), "experiments.better.layer_share: expected a percentage above 0% and up to 100%, with at most four decimals"),
        ((ROUTE, SHARED.replace("layer: search\nunit: person", "layer: search\nunit: account"), EXPERIMENT), "experiments.better.layer: expected units of kind person, as route web has, found 'search' of account"),
        ((ROUTE, SHARED.replace("holdout: year\nunit: person", "holdout: year\nunit: account"), EXPERIMENT), "experiments.better.holdouts[0]: expected units of kind person"),
        ((ROUTE, SHARED, EXPERIMENT, OTHER.replace("layer: search\nlayer_share: 40%\n", "").replace("[1%, 10%]", "[5%]")), "experiments.other.route: expected the layer of better, or another route"),
        ((ROUTE + "requires: [{route: pool, arms: [v1]}]\n", SHARED), "routes.web.requires[0].route: expected a route that exists, found 'pool'"),
        ((ROUTE + "requires: [{route: web, arms: [v1]}]\n", SHARED), "routes.web.requires: expected prerequisites that do not lead back, found web -> web"),
        ((ROUTE + "schedule: {start: 2026-03-29T02:30:00, zone: Europe/Berlin}\n", SHARED), "routes.web.schedule.start: expected a time that exists once in Europe/Berlin"),
        ((ROUTE + "schedule: {start: 2026-10-25T02:30:00, zone: Europe/Berlin}\n", SHARED), "expected a time that exists once in Europe/Berlin"),
        ((ROUTE + "schedule: {start: 2026-10-25T02:30:00, zone: Europe/Berlim}\n", SHARED), "routes.web.schedule.zone: expected a time zone"),
        ((ROUTE + "schedule: {start: 2026-10-25T02:30:00}\n", SHARED), "routes.web.schedule.start: expected a time such as"),
        ((ROUTE + "schedule: {start: 2026-10-25T02:30Z, end: 2026-10-25T02:30Z}\n", SHARED), "routes.web.schedule.end: expected an end after the start"),
        ((ROUTE + "units: {v2: [a], v3: [a]}\n", SHARED), "routes.web.units.v3[0]: expected a unit on the list of one arm, found 'a'"),
        (("segmnt: eu\nvalues: [a]\n",), "expected a document that begins with segment:, layer:, holdout:, route:, experiment:, found 'segmnt' - did you mean 'segment'?"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_what_was_expected_and_what_is_near(
    texts: tuple[str, ...], said: str
) -> None:
    assert said in refused(World(), *texts)


def test_prerequisites_over_three_files_that_lead_back_are_refused() -> None:
    def needing(route: str, other: str) -> str:
        return (
            ROUTE.replace("route: web", f"route: {route}") + f"requires: [{{route: {other}, arms: [v1]}}]\n"
        )

    world = World()
    world.apply(SHARED, ROUTE.replace("route: web", "route: c"), needing("b", "c"), needing("a", "b"))
    assert "a -> b -> c -> a" in refused(world, needing("c", "a"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layer: search\nunit: person\nshuffle: 2\n", "layers.search.shuffle: expected 1 while run better.1 stands on it, found 2"),
        ("layer: search\nunit: account\n", "layers.search.unit: expected 'person' while run better.1 stands on it"),
        ("holdout: year\nunit: person\nshare: 5%\n", "holdouts.year.share: expected 20000 while run better.1 stands on it"),
    ],
)  # fmt: skip
def test_what_a_live_run_stands_on_is_fixed(text: str, said: str) -> None:
    world = World()
    world.apply(SHARED, ROUTE, EXPERIMENT)
    assert said in refused(world, text)
    world.end("better.1")
    world.apply(text)


def test_a_schedule_stands_where_the_clock_is_and_zones_are_kept_to_the_hour() -> None:
    world = World()
    text = ROUTE + "schedule: {start: 2026-07-01T09:00, end: 2026-12-24T18:00, zone: Europe/Berlin}\n"
    start, end = 1_782_889_200_000, 1_798_131_600_000  # 07:00 UTC in summer, 17:00 UTC in winter
    for now, inside in ((start - 1, False), (start, True), (end - 1, True), (end, False)):
        flag = next(change.flag for change in world.plan(SHARED, text, now=now).changes if change.flag)
        assert flag.schedule is not None
        assert (flag.schedule.start_ms, flag.schedule.end_ms, flag.schedule.inside) == (start, end, inside)
