from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.timetable import HOUR_MS, Timetable


def spec(*steps: tuple[int, float, int], window: float = 1.0) -> dict[str, Any]:
    """Steps of (traffic in ppm, hours, units)."""
    return {
        "metrics": [{"window_ms": window * HOUR_MS, "grace_ms": 0}],
        "ramp": [
            {"traffic": traffic, "time_ms": hours * HOUR_MS, "units": units}
            for traffic, hours, units in steps
        ],
    }


def test_a_step_lasts_until_its_time_and_its_units_are_met() -> None:
    table = Timetable.of(spec((10_000, 2.0, 10), (100_000, 1.0, 500)), 1000)
    first, second = table.stops
    assert first == (10_000, 0.0, 2.0, 20.0)  # ten units came within the first hour, closed within the second
    assert second.begins == 2.0
    assert second.met == pytest.approx(2.0 + 4.8 + 1.0)  # 480 more units at 100 an hour, and their window
    assert table.promotes == second.met


def test_units_that_came_in_an_earlier_step_count() -> None:
    table = Timetable.of(spec((100_000, 5.0, 0), (200_000, 0.5, 400), window=2.0), 1000)
    assert table.stops[0].units == 500
    assert table.stops[1].met == pytest.approx(6.0)  # the 400th came after four hours, and closed after six


def test_the_last_step_goes_on_for_ever_and_windows_close_later() -> None:
    table = Timetable.of(spec((100_000, 1.0, 0), (200_000, 1.0, 0)), 100)
    assert table.units(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 10.0])) == pytest.approx([0, 0, 5, 10, 30, 190])
    assert table.closed(np.array([0.5, 2.0])) == pytest.approx([0, 10])


@given(
    st.lists(
        st.tuples(st.integers(1, 900_000), st.floats(0, 50), st.integers(0, 5000)), min_size=1, max_size=6
    )
)
def test_steps_follow_each_other_and_units_only_grow(steps: list[tuple[int, float, int]]) -> None:
    steps = sorted(steps)
    table = Timetable.of(spec(*steps), 500)
    for before, after in zip(table.stops, table.stops[1:], strict=False):
        assert before.met == after.begins
    for stop, (_, hours, units) in zip(table.stops, steps, strict=True):
        assert stop.met - stop.begins >= hours - 1e-9
        assert table.closed(np.array([stop.met]))[0] >= units - 1e-6
    grows = table.units(np.linspace(-1, 2 * table.promotes + 1, 200))
    assert np.all(np.diff(grows) >= -1e-9)
