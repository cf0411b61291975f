"""Another attempt at the same comparison goes on in the same promotion e-process; another comparison starts anew."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from router.decision import decide
from router.evidence import Evidence, weigh
from router.lifecycle import Action
from router.metric import KINDS
from router.reading import Stratum
from tests.controller.runs import ROUTE
from tests.router.evidence_of import HEALTHY, moments_of
from tests.router.test_plan import EXPERIMENT, Desk
from tests.router.world import NOW

LATER = NOW + 3_600_000
BAD = {"n": (1500, 500), "corrected": (150, 70), "errors": (0, 0)}
GOOD = {"n": (1500, 500), "corrected": (600, 50), "errors": (0, 0)}


def attempt(number: int) -> str:
    return EXPERIMENT + f"attempt: {number}\n"


def look(desk: Desk, counts: dict[str, tuple[int, int]]) -> Evidence:
    """A look in the last step that ends the run as a person would."""
    desk.at_step(2)
    evidence = weigh(desk.run, moments_of(counts, desk.run["epoch"]), HEALTHY, LATER)
    desk.run["evidence"] = json.loads(json.dumps(evidence.document))
    return evidence


def ended(desk: Desk, state: str = "rolled_back") -> None:
    desk.run["state"] = state
    desk.flags["digits"] = desk.flags["digits"].without_experiment(desk.run["run"])


@pytest.fixture
def desk() -> Desk:
    """A first attempt that went badly."""
    made = Desk()
    made.apply(ROUTE, EXPERIMENT)
    look(made, BAD)
    ended(made)
    return made


def test_the_next_attempt_goes_on_from_the_closed_sums_and_its_harm_starts_anew(desk: Desk) -> None:
    first = desk.run["evidence"]["metrics"]["corrected"]
    (change,) = desk.changes(attempt(2))
    assert "promotion goes on from the evidence of earlier attempts" in change.text()
    assert desk.run["prior"]["corrected"] == first["sums"]["closed"]
    assert desk.run["maxima"] == {}
    both = look(desk, GOOD).document["metrics"]["corrected"]["log_e"]
    desk.run["prior"] = {}
    alone = look(desk, GOOD).document["metrics"]["corrected"]["log_e"]
    assert both["harm"] == alone["harm"]
    assert both["non_inferiority"] < alone["non_inferiority"]


def test_the_third_attempt_goes_on_from_both(desk: Desk) -> None:
    desk.apply(attempt(2))
    look(desk, GOOD)
    ended(desk)
    second = desk.run
    desk.apply(attempt(3))
    closed = second["evidence"]["metrics"]["corrected"]["sums"]["closed"]
    assert desk.run["prior"]["corrected"] == [*second["prior"]["corrected"], *closed]
    assert len(desk.run["prior"]["corrected"]) == 2


def test_what_was_shown_before_promotes_nobody_without_data_of_this_attempt(desk: Desk) -> None:
    desk.run["evidence"]["metrics"]["corrected"]["sums"]["closed"] = [[[9000, 3600], [3000, 300], 0.25]]
    desk.apply(attempt(2))
    desk.at_step(2)
    evidence = weigh(desk.run, {}, HEALTHY, LATER)
    assert decide(desk.run, evidence, desk.flags["digits"], LATER, ready=True).action is Action.NONE
    assert not evidence.proven


ANEW = {
    "another treatment": (ROUTE.replace("9002", "9003"), attempt(2)),
    "another control": (ROUTE.replace("9001", "9003"), attempt(2)),
    "another unit": (ROUTE.replace("kind: person", "kind: household"), attempt(2)),
    "another window": (ROUTE, attempt(2).replace("window: 1 min", "window: 2 min")),
}


@pytest.mark.parametrize("files", ANEW.values(), ids=ANEW)
def test_another_comparison_starts_anew(desk: Desk, files: tuple[str, str]) -> None:
    desk.apply(*files)
    assert desk.run["attempt"] == 2
    assert desk.run["prior"] == {}


def test_another_margin_asks_the_same_sums(desk: Desk) -> None:
    desk.apply(attempt(2).replace("mde: 10 pp", "mde: 20 pp"))
    assert list(desk.run["prior"]) == ["corrected", "errors"]


def test_an_attempt_at_the_treatment_before_last_goes_on_where_that_one_ended(desk: Desk) -> None:
    first = desk.run["evidence"]["metrics"]["corrected"]["sums"]["closed"]
    desk.apply(ROUTE.replace("9002", "9003"), attempt(2))
    look(desk, GOOD)
    ended(desk)
    desk.apply(ROUTE, attempt(3))
    assert desk.run["prior"]["corrected"] == first


def test_a_superseded_run_is_discarded_but_not_what_it_went_on_from(desk: Desk) -> None:
    desk.apply(attempt(2))
    prior = desk.run["prior"]
    look(desk, GOOD)
    (change,) = desk.changes(attempt(2).replace("25%]", "30%]"))
    assert change.action == "restart"
    assert desk.run["prior"] == prior


@pytest.mark.parametrize("build", ["2", "3"])
def test_an_attempt_at_any_build_that_a_run_had_goes_on_where_that_run_ended(build: str) -> None:
    desk = Desk()
    declaring = ROUTE.replace('9002"}', '9002", declares: "BUILD"}')
    desk.apply(declaring.replace("BUILD", "2"), EXPERIMENT)
    desk.apply(declaring.replace("BUILD", "3"))
    look(desk, BAD)
    closed = desk.run["evidence"]["metrics"]["corrected"]["sums"]["closed"]
    ended(desk)
    desk.apply(declaring.replace("BUILD", build), attempt(2))
    assert desk.run["prior"]["corrected"] == closed
    ended(desk)
    desk.apply(declaring.replace("BUILD", "4"), attempt(3))
    assert desk.run["prior"] == {}


def ever_promotes(rng: np.random.Generator, *, goes_on: bool) -> bool:
    """Six attempts of 600 treatment units at the margin, each with a look after every hundred."""
    kind, earlier = KINDS["proportion"], list[Stratum]()
    metric = {"better": "lower", "margin": 0.1, "mde": 0.1, "tolerance": 0.0}
    for _ in range(6):
        strata = list[Stratum]()
        control, treatment = rng.binomial(300, 0.3, 6).cumsum(), rng.binomial(100, 0.4, 6).cumsum()
        for i, (x0, x1) in enumerate(zip(control.tolist(), treatment.tolist(), strict=True), start=1):
            strata.append(Stratum((300 * i, x0), (100 * i, x1), 0.25))
            if kind.non_inferiority(kind.closed, [*earlier, strata[-1]], metric) >= math.log(20):
                return True
        if goes_on:
            earlier.append(strata[-1])
    return False


def test_trying_again_and_again_promotes_a_treatment_at_the_margin_no_oftener() -> None:
    """At most 5 % of 200 worlds plus 3 standard errors: 19.2.

    By chance alone this fails with a probability below 2e-3 for another seed; the seed is fixed. Attempts that start
    anew, each at 5 %, promote in more worlds.
    """
    rng, worlds = np.random.default_rng(8), 200
    goes_on = sum(ever_promotes(rng, goes_on=True) for _ in range(worlds))
    anew = sum(ever_promotes(rng, goes_on=False) for _ in range(worlds))
    assert goes_on <= 0.05 * worlds + 3 * math.sqrt(worlds * 0.05 * 0.95)
    assert anew > 2 * goes_on
