"""YAML text to documents that remember where each value stands.

Every plain scalar stays text until the field it belongs to reads it: ``1.10`` is no number, ``12:30`` no 750 and
``on`` no truth here, whatever the version of YAML. Duplicate keys, aliases and tags are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from router.errors import Problem, SpecError

LARGEST_TEXT = 1 << 20
DEEPEST = 20

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: mappings, lists, text and None, with the place of each key and value."""

    data: dict[str, Any]
    file: str
    places: dict[Path, tuple[int, int]] = field(repr=False)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of a path, or of the nearest ancestor that exists."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def problem(self, path: Path, expected: str, found: str, hint: str = "") -> Problem:
        """A problem at a path of this document."""
        line, column = self.place(path)
        name = next(iter(self.data.values()), "") if self.data else ""
        kind = next(iter(self.data), "document")
        root = f"{kind}s.{name}" if isinstance(name, str) and name else "document"
        return Problem(root + written(path), expected, found, hint, self.file, line, column)


def written(path: Path) -> str:
    """A path as people write it: ``.ramp[2].traffic``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def load(text: str, file: str = "") -> list[Document]:
    """Read all documents of a text.

    Raises:
        SpecError: not YAML, a duplicate key, an alias, a tag, or a document that is no mapping; all of them at once.
    """
    if len(text) > LARGEST_TEXT:
        raise SpecError([Problem("", f"at most {LARGEST_TEXT} characters", str(len(text)), file=file)])
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        found = problem.problem or "something else"
        raise SpecError([Problem("", "YAML", found, file=file, line=line, column=column)]) from problem
    except RecursionError as problem:
        raise SpecError([Problem("", f"at most {DEEPEST} levels", "more", file=file)]) from problem
    except yaml.YAMLError as problem:
        raise SpecError([Problem("", "YAML", str(problem), file=file)]) from problem
    reader = _Reader(file)
    documents = [reader.document(node) for node in nodes]
    if reader.problems:
        raise SpecError(reader.problems)
    return [document for document in documents if document is not None]


def load_all(files: Iterable[tuple[str, str]]) -> list[Document]:
    """Read all documents of several (name, text).

    Raises:
        SpecError: the problems of every file at once.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for file, text in files:
        try:
            documents += load(text, file)
        except SpecError as problem:
            problems += problem.problems
    if problems:
        raise SpecError(problems)
    return documents


def dump(data: dict[str, Any]) -> str:
    """A document as YAML that ``load`` reads back as the same values."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.places: dict[Path, tuple[int, int]] = {}
        self._open: set[int] = set()
        self._seen: set[int] = set()

    def document(self, node: yaml.Node) -> Document | None:
        self.places = {}
        self._seen = set()
        if not isinstance(node, yaml.MappingNode):
            self._problem(node, (), "a mapping that begins with 'route:' or 'experiment:'", "something else")
            return None
        return Document(self._value(node, ()), self.file, self.places)

    def _problem(self, node: yaml.Node, path: Path, expected: str, found: str, hint: str = "") -> None:
        mark = node.start_mark
        where = written(path).lstrip(".")
        self.problems.append(Problem(where, expected, found, hint, self.file, mark.line + 1, mark.column + 1))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if id(node) in self._seen and not isinstance(node, yaml.ScalarNode):
            self._problem(node, path, "values written out", "an alias")
            return None
        self._seen.add(id(node))
        if len(path) > DEEPEST:
            self._problem(node, path, f"at most {DEEPEST} levels", "more")
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "a word as key", "something else")
                continue
            name = str(key.value)
            if name in seen:
                self._problem(key, (*path, name), "each key once", f"{name!r} twice")
                continue
            seen.add(name)
            result = self._value(value, (*path, name))
            self.places[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            yield name, result

    def _scalar(self, node: yaml.Node, path: Path) -> str | None:
        text = str(node.value)
        if node.tag.startswith("!") or (
            node.tag.startswith("tag:") and not node.tag.startswith("tag:yaml.org,2002:")
        ):
            self._problem(node, path, "no tag", node.tag)
            return None
        plain = getattr(node, "style", None) is None
        return None if plain and text in ("", "~", "null") else text
