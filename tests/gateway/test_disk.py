"""What is kept on disk: a change costs one line, damage costs what it damaged, one worker of a folder writes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.flag import Flag
from router.gateway import disk
from router.gateway.disk import Journal, Kept
from router.store.watch import Stored
from tests.gateway.flags import experiment, flag


def texts(*flags: Flag) -> dict[str, bytes]:
    return {one.route: one.encode() for one in flags}


def keep(journal: Journal, *flags: Flag, store_id: str = "s", gone: Iterable[str] = ()) -> None:
    journal.keep(store_id, texts(*flags), gone, lambda: texts(*flags).values())


def load(folder: Path) -> Kept:
    kept = disk.load(folder)
    assert kept is not None
    return kept


def flags_of(folder: Path) -> dict[str, Flag]:
    return {name: one for name, (one, _) in load(folder).flags.items()}


def test_what_was_kept_is_loaded_with_its_store_and_its_text(tmp_path: Path) -> None:
    assert disk.load(tmp_path) is None
    both = [flag("a"), flag("b", experiments=(experiment(),))]
    keep(Journal(tmp_path / "new"), *both)
    kept = load(tmp_path / "new")
    assert (kept.store_id, kept.problems) == ("s", [])
    assert kept.flags == {one.route: (one, Stored(one, one.encode()).token) for one in both}


def test_a_change_is_one_more_line_and_the_latest_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    keep(journal, flag("a"), flag("b"), flag("c"))
    before = (tmp_path / disk.NAME).read_bytes()
    keep(journal, flag("b", revision=2), gone=["c"])
    after = (tmp_path / disk.NAME).read_bytes()
    assert after.startswith(before)
    assert len(after) - len(before) < 2 * len(flag("b").encode())
    assert flags_of(tmp_path) == {"a": flag("a"), "b": flag("b", revision=2)}


def test_changes_that_outweigh_the_flags_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "ROOM", 0)
    journal = Journal(tmp_path)
    sizes = []
    for revision in range(1, 40):
        keep(journal, flag("a", revision=revision))
        sizes.append((tmp_path / disk.NAME).stat().st_size)
    assert max(sizes) < 3 * sizes[0]
    assert flags_of(tmp_path)["a"].revision == 39


def test_another_store_begins_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    keep(journal, flag("a"))
    keep(journal, flag("b"), store_id="other")
    assert (load(tmp_path).store_id, list(flags_of(tmp_path))) == ("other", ["b"])


def test_of_two_workers_one_writes_until_it_is_gone(tmp_path: Path) -> None:
    one, other = Journal(tmp_path), Journal(tmp_path)
    keep(one, flag("a"))
    keep(other, flag("b"))
    assert list(flags_of(tmp_path)) == ["a"]
    one.close()
    keep(other, flag("b"))
    assert list(flags_of(tmp_path)) == ["b"]


@given(st.integers(0, 10_000))
def test_a_torn_file_loses_what_was_torn_and_is_never_an_exception(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keep(Journal(Path(folder)), flag("a"), flag("b"))
        path = Path(folder) / disk.NAME
        whole = path.read_bytes()
        left = whole[: cut % len(whole)]
        path.write_bytes(left)
        kept = load(Path(folder))
        lines = zip(("a", "b"), whole.split(b"\n")[1:], strict=False)
        assert list(kept.flags) == [name for name, line in lines if line in left]
        assert all("damaged" in problem for problem in kept.problems)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_octet_never_routes(at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        keep(journal, flag("a"), flag("b"))
        keep(journal, flag("b", revision=2, default="v2"))
        path = Path(folder) / disk.NAME
        octets = bytearray(path.read_bytes())
        octets[at % len(octets)] ^= flip
        path.write_bytes(bytes(octets))
        known = {"a": [flag("a")], "b": [flag("b"), flag("b", revision=2, default="v2")]}
        for name, one in flags_of(Path(folder)).items():
            assert one in known[name]


def test_a_line_that_is_no_flag_leaves_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    keep(journal, flag("a"))
    journal.keep("s", {"b": b'{"rout":"b"}'}, (), lambda: ())
    kept = load(tmp_path)
    assert list(kept.flags) == ["a"]
    assert len(kept.problems) == 1


def test_a_text_that_a_person_wrote_over_several_lines_is_kept_as_one(tmp_path: Path) -> None:
    text = flag("a").encode().replace(b",", b",\n")
    Journal(tmp_path).keep("s", {}, (), lambda: [text])
    assert flags_of(tmp_path) == {"a": flag("a")}
