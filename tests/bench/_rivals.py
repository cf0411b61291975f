"""One evaluation of a flag by others, asked the same question: a plain split, and five rules that do not hold before it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

Ask = Callable[[str], object]
RULES = 5


def ours() -> dict[str, Ask]:
    """As the gateway asks."""
    from router.assignment import CompiledFlag
    from tests.bench.micro import a_flag, with_rules

    plain = CompiledFlag(a_flag())
    ruled, facts = with_rules()
    return {
        "plain": lambda unit: plain.assign(unit.encode()),
        "rules": lambda unit: ruled.assign(unit.encode(), facts),
    }


def flagd_core() -> dict[str, Ask]:
    """flagd's in-process evaluator: ``fractional`` below ``if``."""
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContext

    split = {"fractional": [["v2", 25], ["v1", 75]]}
    rule = {"and": [{"in": [{"var": "country"}, ["DE", "FR"]]}, {"==": [{"var": "plan"}, "gold"]}]}
    chain: Any = split
    for _ in range(RULES):
        chain = {"if": [rule, "v2", chain]}
    core = FlagdCore()
    state = {
        name: {
            "state": "ENABLED",
            "variants": {"v1": "v1", "v2": "v2"},
            "defaultVariant": "v1",
            "targeting": targeting,
        }
        for name, targeting in (("plain", split), ("rules", chain))
    }
    core.set_flags(json.dumps({"flags": state}))

    def ask(name: str) -> Ask:
        stated = {"country": "DE", "plan": "free"}
        return lambda unit: core.resolve_string_value(name, "v1", EvaluationContext(unit, stated))

    return {name: ask(name) for name in state}


def growthbook() -> dict[str, Ask]:
    """GrowthBook's Python SDK; one object per unit, as its documentation has it per request."""
    from growthbook import GrowthBook

    split = {"variations": ["v1", "v2"], "weights": [0.75, 0.25], "key": "web", "hashVersion": 2}
    rule = {"condition": {"country": {"$in": ["DE", "FR"]}, "plan": "gold"}, "force": "v2"}
    features = {
        "plain": {"defaultValue": "v1", "rules": [split]},
        "rules": {"defaultValue": "v1", "rules": [rule] * RULES + [split]},
    }
    book = GrowthBook(features=features)

    def ask(name: str) -> Ask:
        def one(unit: str) -> object:
            book.set_attributes({"id": unit, "country": "DE", "plan": "free"})
            return book.eval_feature(name).value

        return one

    return {name: ask(name) for name in features}


def yggdrasil() -> dict[str, Ask]:
    """Unleash's engine: native code behind a foreign function call."""
    from yggdrasil_engine.engine import UnleashEngine

    variants = [
        {"name": name, "weight": weight, "weightType": "variable"}
        for name, weight in (("v1", 750), ("v2", 250))
    ]
    constraints = [
        {"contextName": "country", "operator": "IN", "values": ["DE", "FR"]},
        {"contextName": "plan", "operator": "IN", "values": ["gold"]},
    ]
    always: dict[str, Any] = {"name": "default", "parameters": {}, "variants": variants}
    features = [
        {"name": "plain", "enabled": True, "strategies": [always]},
        {
            "name": "rules",
            "enabled": True,
            "strategies": [{**always, "constraints": constraints}] * RULES + [always],
        },
    ]
    engine = UnleashEngine()
    engine.take_state(json.dumps({"version": 2, "features": features}))

    def ask(name: str) -> Ask:
        return lambda unit: engine.get_variant(
            name, {"userId": unit, "properties": {"country": "DE", "plan": "free"}}
        )

    return {name: ask(name) for name in ("plain", "rules")}


MAKERS = {"pointsman": ours, "flagd-core": flagd_core, "growthbook": growthbook, "yggdrasil": yggdrasil}


def everyone() -> dict[str, dict[str, Ask]]:
    """All that are installed here; of the others it is said why not."""
    found = {}
    for name, make in MAKERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = make()
        except ImportError as problem:
            print(f"{name}: not here ({problem})")
    return found
