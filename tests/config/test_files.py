"""The sample files are valid, and say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router.bucketing import ALGORITHMS
from router.conditions import ATTRIBUTES
from router.document import load
from router.experiment import Experiment
from router.files import parse_documents
from router.metric import KINDS
from router.metric_keys import BUILT_IN, Metric
from router.plan import Planner
from router.population import HoldoutFile, LayerFile, SegmentFile
from router.route import PLACES, Route
from router.rules import OPERATORS
from router.settings import TABLE
from router.strict import Strict

CONFIG = Path(__file__).parent.parent.parent / "config"
README = (CONFIG / "README.md").read_text()


def test_the_examples_are_valid_together() -> None:
    documents = [
        d for name in ("route.yaml", "experiment.yaml") for d in load((CONFIG / name).read_text(), name)
    ]
    files = parse_documents(documents)
    assert list(files.routes) == ["digits-web"]
    assert list(files.experiments) == ["digits-v2"]


def test_the_settings_file_holds_every_setting_at_its_default() -> None:
    found = yaml.safe_load((CONFIG / "settings.yaml").read_text())
    assert found == {row.name: row.default for row in TABLE}


@pytest.mark.parametrize("model", [Route, Experiment, Metric, SegmentFile, LayerFile, HoldoutFile])
def test_every_key_has_its_line(model: type[Strict]) -> None:
    missing = [
        field.alias or name
        for name, field in model.model_fields.items()
        if f"`{field.alias or name}" not in README and name not in ("match", "unit", "arms", "over")
    ]
    assert missing == []


def test_every_kind_built_in_and_unit_place_has_its_line() -> None:
    names = [*KINDS, *BUILT_IN, *PLACES]
    assert [name for name in names if f"`{name}" not in README] == []


def test_every_operator_place_and_algorithm_has_its_line() -> None:
    names = [*OPERATORS, *ATTRIBUTES, *ALGORITHMS]
    assert [name for name in names if f"`{name}" not in README] == []


def test_the_files_in_the_text_are_valid_together() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    documents = load("---\n".join(blocks), "README.md")
    files = parse_documents(documents, {})
    assert (list(files.routes), list(files.experiments)) == (["ranker"], ["ranker-v2"])
    assert (list(files.segments), list(files.layers), list(files.holdouts)) == (
        ["early-adopters"],
        ["search"],
        ["year-2026"],
    )
    plan = Planner({}, {}, {}, {}, 0).plan(files)
    assert not plan.empty
