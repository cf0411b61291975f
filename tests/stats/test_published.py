"""What the README of stats says of published values, files and kinds is what the tables say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from router.metric import KINDS
from tests.stats import test_cases, test_cases_horizon

STATS = Path(__file__).parent.parent.parent / "stats"
README = (STATS / "README.md").read_text()
WHY = test_cases.ABSENT | test_cases_horizon.ABSENT


def reason_of(name: str) -> str | None:
    """The beginning of the case's name under which it is left out; None where it is checked."""
    if name in test_cases.OURS or name in test_cases_horizon.PRESENT or name.startswith(test_cases.RELATED):
        return None
    return max((start for start in WHY if name.startswith(start)), key=len)


def absent() -> list[str]:
    """The lines of the table of cases that are not here."""
    found = Counter(reason_of(name) for name in test_cases.CASES)
    return [f"| `{start}…` | {found[start]} | {why} |" for start, why in WHY.items()]


def checked() -> str:
    """How many are."""
    left = [name for name in test_cases.CASES if reason_of(name) is not None]
    total = len(test_cases.CASES)
    return (
        f"Of {total} published values in `tests/cases/stats.json`, {total - len(left)} are checked (`tests/stats/test_cases.py`, "
        f"`tests/stats/test_cases_horizon.py`); {len(left)} are of methods that are not here."
    )


def test_the_readme_names_what_is_not_checked_and_why() -> None:
    assert checked() in README
    for line in absent():
        assert line in README


def test_the_readme_names_every_file_and_every_kind() -> None:
    files = README.partition("| file |")[2].partition("\n\n")[0]
    for path in STATS.glob("[a-z]*.py"):
        assert f"`{path.name}`" in files
    kinds = README.partition("| kind |")[2].partition("\n\n")[0]
    for kind in KINDS.values():
        line = next(line for line in kinds.splitlines() if line.startswith(f"| `{kind.name}` |"))
        for key in kind.keys:
            assert f"`{key}`" in line
