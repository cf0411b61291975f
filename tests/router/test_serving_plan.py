"""What a route says about serving is merged, told and refused like everything else in its file."""

from __future__ import annotations

import pytest

from router.document import load
from router.drift import drifted, merged
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Flag
from router.plan_lines import route_differences
from router.route import flag_of

FILE = """
route: r
match: {path: /r}
unit: {kind: user, from: [header:x-user]}
protocol: openai
arms:
  v1: {upstream: http://h:1}
  v2: {upstream: http://h:2}
default: v1
"""
# What is written more, and what the plan says of it.
SAID = [
    ("deadline: x-deadline", "serving: "),
    ("cost: x-cost", "serving: "),
    ("restore_model: yes", "serving: "),
    ("outcomes: {score: /score}", "serving: "),
    ("shadow: {arm: v2, share: 5 %}", "serving: "),
    ("v2: {price: {tokens_in: 1, tokens_out: 2}, ", "arm v2: price "),
    ("v2: {warm: 3, ", "arm v2: warm "),
    ("v2: {endpoints: [http://h:3], ", "arm v2: pool "),
    ("v2: {limits: {requests: 4}, ", "arm v2: pool "),
]


def read(text: str) -> Flag:
    return flag_of(parse_documents(load(text, "route.yaml")).routes["r"][0])


def with_more(line: str, text: str = FILE) -> str:
    return text.replace("v2: {", line) if line.startswith("v2") else f"{text}{line}\n"


@pytest.mark.parametrize(("line", "said"), SAID)
def test_it_is_applied_and_the_plan_tells_it(line: str, said: str) -> None:
    before, after = read(FILE), read(with_more(line))
    assert merged(before, after, before) == after
    assert [one for one in route_differences(before, after) if one.startswith(said)]
    assert list(drifted(after, before))


@pytest.mark.parametrize(("line", "said"), SAID)
def test_what_the_file_did_not_change_stays_as_it_is_live(line: str, said: str) -> None:
    file, live = read(FILE), read(with_more(line))
    assert merged(file, read(FILE.replace("default: v1", "default: v2")), live) == live.with_default("v2")


@pytest.mark.parametrize("line", [line for line, _ in SAID])
def test_arms_without_upstream_serve_nothing(line: str) -> None:
    text = FILE.replace("match: {path: /r}\n", "").replace("upstream: http://h:1", "value: a")
    text = with_more(line, text.replace("upstream: http://h:2", "value: b"))
    with pytest.raises(SpecError, match="upstream"):
        read(text)
