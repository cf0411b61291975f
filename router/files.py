"""All documents that people wrote, read together: each one whole, then each one against the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from router.conditions import strangers
from router.document import Document
from router.errors import Problem, SpecError, nearest
from router.experiment import Experiment
from router.population import HoldoutFile, LayerFile, SegmentFile
from router.route import Route
from router.strict import problems_of

# The kinds of documents: the first key of a document names its kind. In the order in which they are applied.
KINDS: dict[str, type[BaseModel]] = {
    "segment": SegmentFile,
    "layer": LayerFile,
    "holdout": HoldoutFile,
    "route": Route,
    "experiment": Experiment,
}
FIRST = f"a document that begins with {', '.join(f'{kind}:' for kind in KINDS)}"

_T = TypeVar("_T")
Read = dict[str, tuple[_T, Document]]


@dataclass(frozen=True, slots=True)
class Files:
    """What was written, by kind and name, each with the document it came from."""

    segments: Read[SegmentFile] = field(default_factory=dict)
    layers: Read[LayerFile] = field(default_factory=dict)
    holdouts: Read[HoldoutFile] = field(default_factory=dict)
    routes: Read[Route] = field(default_factory=dict)
    experiments: Read[Experiment] = field(default_factory=dict)

    def of(self, kind: str) -> Read[Any]:
        """All documents of one kind."""
        read: Read[Any] = getattr(self, f"{kind}s")
        return read


def parse_documents(documents: Iterable[Document], known: Mapping[str, Iterable[str]] | None = None) -> Files:
    """Read documents into models.

    Args:
        documents: as loaded from files.
        known: names by kind that exist already, beside those in the documents; None where nobody can be asked, and
            then what is named but not written here is left for the plan to find.

    Raises:
        SpecError: all problems of all documents at once.
    """
    problems: list[Problem] = []
    files = Files()
    for document in documents:
        kind = next(iter(document.data), "")
        model = KINDS.get(kind)
        if model is None:
            path = (kind,) if kind else ()
            problems.append(document.problem(path, FIRST, repr(kind), nearest(kind, KINDS)))
            continue
        try:
            one: Any = model.model_validate(document.data)
        except ValidationError as problem:
            problems += problems_of(document, problem, model)
            continue
        name = getattr(one, kind)
        if name in files.of(kind):
            problems.append(document.problem((), "each name once", f"{name!r} twice"))
        files.of(kind)[name] = (one, document)
    names = {kind: {*files.of(kind), *(known or {}).get(kind, ())} for kind in KINDS}
    problems += [
        *_of_experiments(files, names, sure=known is not None),
        *_of_routes(files, names, sure=known is not None),
    ]
    if problems:
        raise SpecError(problems)
    return files


def _of_routes(files: Files, names: Mapping[str, set[str]], *, sure: bool) -> Iterator[Problem]:
    for route, document in files.routes.values():
        for i, rule in enumerate(route.rules):
            for path, *rest in strangers(rule.when, route.attributes, names["segment"] if sure else None):
                yield document.problem(("rules", i, "when", *path), *rest)


def _of_experiments(files: Files, names: Mapping[str, set[str]], *, sure: bool) -> Iterator[Problem]:
    for experiment, document in files.experiments.values():
        pair = files.routes.get(experiment.route)
        if pair is None and experiment.route not in names["route"]:
            hint = nearest(experiment.route, names["route"])
            yield document.problem(("route",), "a route that exists", repr(experiment.route), hint)
        if pair is not None:
            yield from _on_route(experiment, pair[0], document)
            for path, *rest in strangers(
                experiment.audience or [], pair[0].attributes, names["segment"] if sure else None
            ):
                yield document.problem(("audience", *path), *rest)
        if sure:
            yield from _named(experiment, names, document)
    yield from _sharing(files)


def _on_route(experiment: Experiment, route: Route, document: Document) -> Iterator[Problem]:
    for role in ("control", "treatment"):
        arm = getattr(experiment, role)
        if arm not in route.arms:
            expected = f"one of the route's arms {', '.join(route.arms)}"
            yield document.problem((role,), expected, repr(arm), nearest(arm, route.arms))


def _named(experiment: Experiment, names: Mapping[str, set[str]], document: Document) -> Iterator[Problem]:
    if experiment.layer is not None and experiment.layer not in names["layer"]:
        hint = nearest(experiment.layer, names["layer"])
        yield document.problem(("layer",), "a layer that exists", repr(experiment.layer), hint)
    for i, holdout in enumerate(experiment.holdouts):
        if holdout not in names["holdout"]:
            hint = nearest(holdout, names["holdout"])
            yield document.problem(("holdouts", i), "a holdout that exists", repr(holdout), hint)


def _sharing(files: Files) -> Iterator[Problem]:
    """Two experiments on one route must share a layer."""
    first: dict[str, Experiment] = {}
    for name, (experiment, document) in files.experiments.items():
        other = first.setdefault(experiment.route, experiment)
        if other is not experiment and (other.layer is None or other.layer != experiment.layer):
            expected = f"the layer of {other.experiment}, or another route: both are on {experiment.route}"
            found = repr(experiment.layer) if experiment.layer else "no layer"
            yield document.problem(
                ("layer",) if experiment.layer else ("route",),
                expected,
                found,
                f"give both one layer, or run {name} later",
            )
