"""The models of the demo: their mistakes are their own, and they are what the story says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.demo.digits import prepare, read_scans
from router.demo.models import BadRequest, answer_of, scans_of

pytest.importorskip("sklearn")


def test_v1_misses_a_sixth_v2_almost_nothing_and_v3_two_fifths_but_hardly_ones_and_sevens(
    tmp_path: Path,
) -> None:
    models = prepare(tmp_path)
    scans = read_scans(tmp_path)
    assert len(scans) == 899
    wrong: dict[str, list[int]] = {}
    for name, predict in models.items():
        answers = predict([[float(pixel) for pixel in scan.pixels] for scan in scans])
        wrong[name] = [scan.label for scan, digit in zip(scans, answers, strict=True) if digit != scan.label]
    rates = {name: len(labels) / len(scans) for name, labels in wrong.items()}
    assert rates["v1"] == pytest.approx(0.17, abs=0.02)
    assert rates["v2"] == pytest.approx(0.01, abs=0.01)
    assert rates["v3"] == pytest.approx(0.42, abs=0.03)
    easy = sum(scan.label in (1, 7) for scan in scans)
    assert sum(label in (1, 7) for label in wrong["v3"]) / easy < 0.1


def test_a_request_that_is_no_batch_of_scans_is_refused_with_its_place() -> None:
    good = {"inputs": [{"shape": [1, 64], "data": [0] * 64}]}
    assert len(scans_of(json.dumps(good).encode())) == 1
    for body in (
        b"",
        b"[]",
        b'{"inputs": [{"shape": [1, 63], "data": []}]}',
        b'{"inputs": [{"shape": [2, 64], "data": [1]}]}',
    ):
        with pytest.raises(BadRequest, match="inputs"):
            scans_of(body)
    assert json.loads(answer_of("v1", [3]))["outputs"][0]["data"] == [3]
