"""The second judges: what the usual rules would have declared, and when."""

from __future__ import annotations

import random

from router.demo.judge import CHECK_EVERY_S, RepeatedTTest, ThresholdRule


def checked(rule: ThresholdRule, until_s: float, good: float, latency_ms: float) -> None:
    """Hundred answers in each interval, so many of them good."""
    at = rule.next_check
    while at <= until_s:
        for number in range(100):
            rule.saw(number < good * 100, latency_ms)
        rule.check(at)
        at = rule.next_check


def test_three_healthy_checks_in_a_row_promote() -> None:
    rule = ThresholdRule()
    checked(rule, 3 * CHECK_EVERY_S, 1.0, 20.0)
    assert rule.promoted_at == 3 * CHECK_EVERY_S


def test_one_unhealthy_check_begins_the_count_anew() -> None:
    for good, latency_ms in ((0.98, 20.0), (1.0, 501.0)):
        rule = ThresholdRule()
        checked(rule, 2 * CHECK_EVERY_S, 1.0, 20.0)
        checked(rule, 3 * CHECK_EVERY_S, good, latency_ms)
        checked(rule, 5 * CHECK_EVERY_S, 1.0, 20.0)
        assert rule.promoted_at is None
        checked(rule, 6 * CHECK_EVERY_S, 1.0, 20.0)
        assert rule.promoted_at == 6 * CHECK_EVERY_S


def test_an_interval_without_traffic_is_no_check() -> None:
    rule = ThresholdRule()
    for number in range(1, 10):
        rule.check(number * CHECK_EVERY_S)
    assert (rule.passed, rule.promoted_at) == (0, None)


def test_a_t_test_repeated_at_each_look_declares_false_winners_of_equal_arms() -> None:
    """Two hundred A/A runs with sixty looks each: far more of them than one in twenty claim a winner."""
    claimed = 0
    for seed in range(200):
        rng, test = random.Random(seed), RepeatedTTest()
        for _ in range(60):
            for arm in ("a", "b"):
                for _ in range(20):
                    test.saw(arm, rng.random() < 0.1)
            test.look()
        claimed += test.winners > 0
    assert claimed > 40


def test_a_t_test_of_one_arm_or_of_few_units_says_nothing() -> None:
    test = RepeatedTTest()
    for number in range(1000):
        test.saw("a", number % 2)
    test.look()
    for _ in range(29):
        test.saw("b", 0)
    test.look()
    assert test.winners == 0
