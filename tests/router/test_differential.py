"""Buckets and ranges against other people's code: flagd's ``fractional``, GrowthBook's ranges, SQL of the docs."""

from __future__ import annotations

import random
import re
from pathlib import Path

import duckdb
import pytest
from growthbook.core import getBucketRanges
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional

from router.assignment import CompiledFlag
from router.bucketing import ALGORITHMS, PPM, hash_flagd
from router.flag import Arm, Flag, UnitSource
from router.lanes import Lane, RunningExperiment

README = (Path(__file__).parents[2] / "config" / "README.md").read_text()
ID_SHAPES = ("user-{}", "{:032x}", "ユーザー-{}", "{}", "mail{}@example.org", " {} ")


def _weights(rng: random.Random, count: int) -> list[int]:
    edges = sorted(rng.sample(range(1, PPM), count - 1))
    return [b - a for a, b in zip([0, *edges], [*edges, PPM], strict=True)]


def _compare_with_flagd(cases: int, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(cases // 50):
        count = rng.randint(2, 5)
        weights = _weights(rng, count)
        names = [f"arm{i}" for i in range(count)]
        lanes = tuple(
            Lane(name, "control" if i == count - 1 else "treatment", sum(weights[:i]), weights[i])
            for i, name in enumerate(names)
        )
        running = RunningExperiment(f"e.{number}", "e", 1, f"route-{number}:1", lanes, PPM)
        flag = Flag(
            "r", UnitSource("p", ()), tuple(Arm(name, "http://x") for name in names), names[-1],
            experiments=(running,), algorithm="flagd-v2",
        )  # fmt: skip
        compiled = CompiledFlag(flag)
        theirs: list[list[str | int]] = [[name, weight] for name, weight in zip(names, weights, strict=True)]
        for _ in range(50):
            unit = rng.choice(ID_SHAPES).format(rng.getrandbits(48))
            data = {"targetingKey": unit, "$flagd": {"flagKey": f"route-{number}:1#arm"}}
            assert compiled.assign(unit.encode()).arm == fractional(data, *theirs), (unit, weights)


def test_flagd_deals_every_unit_to_the_same_arm() -> None:
    _compare_with_flagd(20_000, 1)


@pytest.mark.slow
def test_flagd_deals_a_million_units_to_the_same_arms() -> None:
    _compare_with_flagd(1_000_000, 2)


def test_flagds_edges_of_the_hash() -> None:
    edges = {"ejOoVL": 0x0, "bY9fO-": 0x1, "SI7p-": 0x7FFFFFFF, "6LvT0": 0x80000000, "ceQdGm": 0xFFFFFFFF}
    assert {unit: hash_flagd("", unit.encode()) for unit in edges} == edges


def test_growthbook_lays_lanes_and_coverage_alike() -> None:
    rng = random.Random(3)
    for _ in range(2_000):
        count, coverage = rng.randint(2, 6), rng.randint(0, PPM)
        weights = _weights(rng, count)
        theirs = getBucketRanges(count, coverage / PPM, [weight / PPM for weight in weights])
        for i, (start, end) in enumerate(theirs):
            lane = Lane("a", "treatment", sum(weights[:i]), weights[i])
            assert abs(start * PPM - lane.start) < 1e-3
            assert 0 <= end * PPM - (lane.start + lane.width(coverage)) < 1 + 1e-3  # ours is a whole number


def test_duckdb_deals_every_unit_to_the_same_bucket() -> None:
    found = re.search(r"```sql\n-- DuckDB\n(.*?)```", README, re.DOTALL)
    assert found is not None
    rng = random.Random(4)
    units = [rng.choice(ID_SHAPES).format(rng.getrandbits(48)) for _ in range(20_000)]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE units (unit VARCHAR)")
        connection.execute("INSERT INTO units SELECT unnest(?)", [units])
        theirs = dict(connection.execute(found[1]).fetchall())
    ours = ALGORITHMS["sha256-64/v1"][1]("ranker:1#arm")
    assert len(theirs) == len(set(units))
    assert [unit for unit in units if theirs[unit] != ours(unit.encode())] == []
