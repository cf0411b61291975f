"""Secrets: given or made once, the same for every process, never shown."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router.errors import SpecError
from router.settings import Settings
from router.store.secrets import load_secrets

HEX = "ab" * 32


def settings(folder: Path, **given: str) -> Settings:
    return Settings.load({}, None, {"data_dir": str(folder), **given})


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_secrets(settings(folder))
    assert load_secrets(settings(folder)) == first
    assert (list(first.decision_keys), len(first.decision_keys[1]), len(first.unit_key)) == ([1], 32, 32)
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["secrets.json"]


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_secrets(settings(tmp_path)), range(32)))
    assert all(one == found[0] for one in found)


def test_given_secrets_need_no_folder(tmp_path: Path) -> None:
    found = load_secrets(settings(tmp_path / "none", decision_keys=f"1:{HEX},7:{'cd' * 16}", unit_key=HEX))
    assert found.decision_keys == {1: b"\xab" * 32, 7: b"\xcd" * 16}
    assert found.unit_key == b"\xab" * 32
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("keys", "unit"),
    [("1:abc", HEX), (HEX, HEX), (f"x:{HEX}", HEX), (f"256:{HEX}", HEX), ("1:ab", HEX), (f"1:{HEX},", HEX),
     (f"1:{'ab' * 65}", HEX), (f"1:{HEX}", "zz"), (f"1:{HEX}", "ab")],
)  # fmt: skip
def test_bad_secrets_are_refused_without_being_shown(keys: str, unit: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_secrets(settings(tmp_path, decision_keys=keys, unit_key=unit))
    assert HEX not in str(caught.value)
    assert "kept secret" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"unit_key": HEX}), "null"])
def test_a_damaged_file_says_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(SpecError, match="restore it, or remove it"):
        load_secrets(settings(tmp_path))
