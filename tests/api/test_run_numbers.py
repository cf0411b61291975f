"""The controller's numbers at the API's /metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.telemetry import rows_of

if TYPE_CHECKING:
    from tests.api.conftest import Desk


def test_the_numbers_of_live_runs_stand_beside_the_counters_of_the_process(told: Desk) -> None:
    told.store.heartbeat("c1", {"role": "controller", "writer": "c1", "time": told.plane.now()})
    run = told.run("digits-aa")
    text = told.http.get("/metrics").text
    label = f'{{run="{run["run"]}"}}'
    assert "pointsman_leader 1.0" in text
    assert f"pointsman_looks_total{label} {run['look']['number']:.1f}" in text
    assert f"pointsman_folded_rows_total{label} {sum(run['evidence']['health']['loss']['sent']):.1f}" in text
    assert f"pointsman_fold_lag_seconds{label} 0.14" in text
    assert f"pointsman_coverage_ratio{label} {run['coverage'][-1][2] / 1e6}" in text
    assert f'pointsman_rows_without_effect_total{{reason="late",run="{run["run"]}"}} 0.0' in text
    assert "digits-v2" not in text
    for row in rows_of("controller"):
        assert f"# TYPE {row.name}" in text
    families = re.findall(r"# TYPE (\S+)", text)
    assert len(families) == len(set(families))


def test_without_a_controller_nobody_leads(started: Desk) -> None:
    assert "pointsman_leader 0.0" in started.http.get("/metrics").text


def test_while_redis_holds_something_else_the_counters_of_the_process_remain(started: Desk) -> None:
    started.client.delete(started.keys.runs)
    started.client.set(started.keys.runs, "a stranger")
    text = started.http.get("/metrics").text
    assert "pointsman_leader" not in text
    assert "pointsman_api_answers" in text
