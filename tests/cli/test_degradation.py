"""The command that watches after a promotion, and the detector behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from router.cli import main
from router.degradation import Interval, baseline_of, read, watch
from router.errors import SpecError


def counts(rates: list[float], requests: int = 500, seed: int = 1) -> list[Interval]:
    rng = np.random.default_rng(seed)
    return [Interval(requests, int(rng.binomial(requests, rate))) for rate in rates]


def written(folder: Path, rows: list[Interval]) -> str:
    path = folder / "counts.jsonl"
    path.write_text(
        "".join(json.dumps(dict(zip(("requests", "events"), row, strict=False))) + "\n" for row in rows)
    )
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["degradation", *words])
    out, err = capsys.readouterr()
    return int(done.value.code or 0), out, err


def test_a_slow_rise_is_shown_with_about_when_it_began(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path, counts([0.01] * 100 + [0.02] * 60))
    code, out, _ = run(capsys, file, "--json")
    answer = json.loads(out)
    assert (code, answer["shown"]) == (1, True)
    began, at = (answer[key] + answer["skipped"] for key in ("began", "at"))
    assert 90 <= began <= at <= 130
    assert "a degradation is shown in interval" in run(capsys, file)[1]


def test_no_change_is_no_degradation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path, counts([0.01] * 160))
    code, out, _ = run(capsys, file, "--baseline", "1.2%")
    assert code == 0
    assert out.startswith("no degradation is shown")
    assert "one false alarm in 10,000 intervals" in out


def test_a_control_that_is_held_back_takes_the_place_of_a_baseline() -> None:
    rng = np.random.default_rng(3)
    rates = [0.01 * (1 + i / 20) for i in range(60)]  # both arms alike, whatever the hour does

    def held(factor: float) -> list[Interval]:
        return [
            Interval(1000, int(rng.binomial(1000, rate * factor)), 200, int(rng.binomial(200, rate)))
            for rate in rates
        ]

    assert not watch(held(1.0), None)["shown"]
    assert watch(held(3.0), None)["shown"]


def test_false_alarms_are_rarer_than_the_run_length_says() -> None:
    """P(alarm within n intervals) is at most n/A; 300 runs of 50 intervals at A = 1000: more than 40 has chance < 1e-6."""
    alarms = sum(watch(counts([0.02] * 50, 200, seed), 0.02, 1000)["shown"] for seed in range(300))
    assert alarms <= 40


def test_a_baseline_lies_above_the_rate_that_it_is_taken_from() -> None:
    limit = baseline_of([Interval(10_000, 100)])
    assert limit is not None
    assert 0.01 < limit < 0.015
    assert baseline_of([Interval(0, 0)]) is None
    assert baseline_of([Interval(3, 3)]) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "one JSON object a line"),
        ("[1, 2]", "an object with requests and events"),
        ('{"requests": 5}', "an object with requests and events"),
        ('{"requests": 5, "events": 1, "more": 1}', "an object with requests and events"),
        ('{"requests": 5, "events": 6}', "no more events than requests"),
        ('{"requests": 5, "events": true}', "whole numbers of at least 0"),
        ('{"requests": 5, "events": -1}', "whole numbers of at least 0"),
        ("", "lines such as"),
    ],
)
def test_a_line_that_is_no_interval_is_named(line: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        read([line], "counts.jsonl")


@pytest.mark.parametrize(
    "words", [("--baseline", "0%"), ("--baseline", "120%"), ("--run-length", "1"), ("--first", "0")]
)
def test_a_bad_option_is_trouble(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = written(tmp_path, counts([0.01] * 30))
    assert run(capsys, file, *words)[0] == 2


def test_a_bad_line_is_trouble_and_not_a_rise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("no\n")
    code, _, err = run(capsys, str(tmp_path / "bad.jsonl"))
    assert code == 2
    assert "bad.jsonl:1" in err
