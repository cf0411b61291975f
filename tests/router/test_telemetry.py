"""The names of metrics: each once, of a form that Prometheus takes, and no name in the source that has no row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import router
from router.telemetry import ROWS, TABLE, Plane, Row, rows_of

SOURCE = Path(router.__file__).parent
WORD = re.compile(r'"(pointsman_[a-z_]+)"')
PARTS = re.compile(r"_(bucket|sum|count)$")


def test_each_name_has_one_row() -> None:
    assert len(ROWS) == len(TABLE)
    planes: tuple[Plane, ...] = ("gateway", "api", "controller")
    assert sum(len(rows_of(plane)) for plane in planes) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_has_the_form_of_its_type(row: Row) -> None:
    assert re.fullmatch(r"pointsman_[a-z]+(_[a-z]+)*", row.name)
    assert not row.name.endswith("_total")
    assert row.about.endswith(".")
    assert bool(row.bounds) == (row.type == "histogram")
    assert list(row.bounds) == sorted(set(row.bounds))
    assert not {"unit", "user", "decision"} & set(row.labels)


def test_the_source_names_no_metric_without_a_row() -> None:
    named = {
        name: path.relative_to(SOURCE)
        for path in SOURCE.rglob("*.py")
        if path.name != "telemetry.py"
        for name in WORD.findall(path.read_text())
    }
    strangers = {
        name: str(path)
        for name, path in named.items()
        if PARTS.sub("", name) not in ROWS and name not in ROWS
    }
    assert strangers == {}
