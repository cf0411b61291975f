"""Charts: well-formed for any evidence, with words for those who cannot see them."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from router.api import charts, course

EFFECT = st.floats(-1e6, 1e6)
PAIRS = st.tuples(EFFECT, EFFECT).map(sorted)
LOOKS = st.lists(
    st.tuples(st.integers(0, 10**9), st.none() | EFFECT, st.none() | PAIRS, st.integers(0, 10**9)),
    max_size=60,
)


def read(markup: str) -> ElementTree.Element:
    root = ElementTree.fromstring(markup)
    assert root.tag == "svg"
    assert root.find("title") is not None
    for element in root.iter():
        for name, value in element.attrib.items():
            if name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
                assert math.isfinite(float(value))
        assert not any(word in str(element.attrib) for word in ("nan", "inf"))
    return root


def run_of(looks: list[Any]) -> dict[str, Any]:
    rows = [
        [1000 + t, e, *(band or (None, None)), n, n]
        for t, e, band, n in sorted(looks, key=lambda look: look[0])
    ]
    lanes = [{"arm": "b", "role": "treatment", "start": 0, "share": 250_000}]
    return {
        "experiment": "x<y",
        "control": "a",
        "treatment": "b",
        "started": 1000,
        "ended": None,
        "state": "running",
        "looks": rows,
        "coverage": [[1000, 1, 40_000], [2000, 2, 1_000_000]],
        "spec": {"lanes": lanes, "traffic": 1_000_000},
    }


@given(
    LOOKS, st.sampled_from(["proportion", "mean"]), st.sampled_from(["lower", "higher"]), st.floats(1e-6, 1e3)
)
def test_any_course_is_drawn_inside_its_frame(
    looks: list[Any], kind: str, better: str, margin: float
) -> None:
    goal = {"name": "corrected & <late>", "kind": kind, "better": better, "margin": margin}
    root = read(str(course.over_time(run_of(looks), goal)))
    for element in root.iter("circle"):
        assert 0 <= float(element.attrib["cx"]) <= course.WIDE
        assert 0 <= float(element.attrib["cy"]) <= course.HIGH
    read(str(charts.sparkline(run_of(looks))))


@given(st.none() | EFFECT, st.none() | PAIRS, st.floats(1e-6, 1e3), st.sampled_from(["lower", "higher"]))
def test_any_interval_fits_the_common_axis(
    estimate: float | None, interval: list[float] | None, margin: float, better: str
) -> None:
    row = {
        "estimate": estimate,
        "interval": interval,
        "margin": margin,
        "better": better,
        "kind": "mean",
        "state": "undecided",
    }
    root = read(str(charts.strip(row, "latency")))
    for element in root.iter("circle"):
        assert 0 <= float(element.attrib["cx"]) <= charts.STRIP[0]


def test_harm_is_to_the_right_whatever_the_direction() -> None:
    base = {"interval": None, "margin": 0.1, "kind": "proportion", "state": "undecided"}
    places = []
    for better, estimate in (("lower", 0.05), ("higher", -0.05)):
        root = read(str(charts.strip({**base, "better": better, "estimate": estimate}, "m")))
        places.append(next(float(element.attrib["cx"]) for element in root.iter("circle")))
    assert places[0] == places[1] > charts.STRIP[0] / 2


def test_a_name_cannot_leave_its_text() -> None:
    root = read(str(charts.svg(1, 1, '"><script>', [charts.tag("text", "<b>&", x=1)], 'a"b')))
    assert root.attrib["class"] == 'a"b'
    assert [element.tag for element in root] == ["title", "text"]
