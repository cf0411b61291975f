"""The command that looks ahead, as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.cli import main
from router.cli.estimate import chance, duration

FILE = str(Path(__file__).parents[2] / "config" / "experiment.yaml")
TRAFFIC = ("--units-per-hour", "1000")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["estimate", *words])
    out, err = capsys.readouterr()
    return int(done.value.code or 0), out, err


@pytest.fixture
def means(tmp_path: Path) -> str:
    path = tmp_path / "means.yaml"
    path.write_text(
        "experiment: x\nroute: r\nkind: ab\ncontrol: a\ntreatment: b\n"
        "goal: {metric: worth, kind: mean, better: higher, mde: '0.1'}\ndeadline: 2 d\n"
    )
    return str(path)


def test_it_says_how_long_and_how_likely(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, FILE, *TRAFFIC, "--rate", "corrected=10%", "--rate", "errors=0.3%", "--rate", "slow=2%"
    )
    assert code == 0
    assert (
        "a treatment that is as good as the control is promoted with a chance of >99 %, decided after" in out
    )
    for part in (
        "25 %",
        "corrected worse by twice the margin (4 pp)",
        "least harm shown",
        "note: errors: 434 units",
    ):
        assert part in out
    assert "assumed: corrected: every unit reports" in out
    assert "a rate of" not in out


def test_one_json_object_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, FILE, *TRAFFIC, "--json")
    answer = json.loads(out)
    assert code == 0
    assert [step["traffic"] for step in answer["ramp"]] == [10_000, 50_000, 250_000]
    assert {row["metric"] for row in answer["scenarios"]} == {"corrected", "errors", "slow"}
    assert answer["assumed"]
    assert answer["missing"] == []


def test_too_little_traffic_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, FILE, "--units-per-hour", "5", "--rate", "corrected=10%")
    assert code == 1
    assert "undecided" in out


def test_without_a_standard_deviation_it_is_not_decided(
    capsys: pytest.CaptureFixture[str], means: str
) -> None:
    code, out, _ = run(capsys, means, *TRAFFIC)
    assert code == 3
    assert "nothing can be said of verdicts" in out
    assert "missing: worth: the standard deviation of one unit's value (--sd worth=...)" in out
    assert run(capsys, means, *TRAFFIC, "--sd", "worth=1")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate", "eror=1%"), "expected NAME=VALUE of one of corrected, errors, slow, found 'eror=1%'"),
        (("--rate", "errors"), "--rate errors: expected a percentage such as '5%', found ''"),
        (("--rate", "errors=100%"), "--rate errors: expected a percentage below 100%"),
        (("--sd", "errors=1"), "--sd: expected NAME=VALUE"),
        (("--reported", "errors=1"), "--reported errors: expected a percentage"),
        (("--units-per-hour", "0"), "--units-per-hour"),
        (("--units-per-hour", "nan"), "--units-per-hour"),
    ],
)
def test_a_bad_option_is_trouble_and_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    code, out, err = run(capsys, FILE, *TRAFFIC, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_without_an_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, FILE.replace("experiment.yaml", "route.yaml"), *TRAFFIC)
    assert code == 2
    assert "expected one experiment, found 0" in err


def test_beside_the_forecast_stands_what_a_fixed_sample_would_ask(
    capsys: pytest.CaptureFixture[str], means: str
) -> None:
    _, out, _ = run(capsys, means, *TRAFFIC, "--sd", "worth=1")
    # (1.645 + .842)^2 * 2 / .1^2 for alpha 5 % one-sided and a chance of 80 %
    assert "1,237 + 1,237" in out
    assert "open_ended, treatment" in out


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"), (1500, "1 s"), (60_000, "1 min"), (3_660_000, "1 h 1 min"), (86_400_000, "1 d 0 h"),
        (90_000_000, "1 d 1 h"), (None, "n/a"),
    ],
)  # fmt: skip
def test_a_duration_has_its_two_largest_units(ms: float | None, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 %"), (1e-6, "<1 %"), (0.5, "50 %"), (0.9999, ">99 %"), (1.0, "100 %"), (None, "n/a")],
)
def test_a_chance_is_never_rounded_to_certainty(value: float | None, text: str) -> None:
    assert chance(value) == text
