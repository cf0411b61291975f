"""The data: 1,797 real scans of handwritten digits, half to learn from and half for the people to bring.

``prepare`` is run once by the process of the model servers and leaves ``scans.json`` behind, so that the
people and the page ``/try`` need no scikit-learn. A scan is 64 whole numbers, 0 (white) to 16 (black), row by row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIDE = 8
PIXELS = SIDE * SIDE
SCANS_FILE = "scans.json"
# Which half is learned from is fixed, so that the models' own mistakes are the same on every machine.
SPLIT_SEED = 0

Predict = Callable[[list[list[float]]], list[int]]


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan a person may bring: its place in the file, its pixels and the digit its writer meant."""

    index: int
    pixels: list[int]
    label: int


def read_scans(folder: Path) -> list[Scan]:
    """The scans that no model has learned from."""
    rows = json.loads((folder / SCANS_FILE).read_text())
    return [Scan(row["index"], row["pixels"], row["label"]) for row in rows]


def prepare(folder: Path) -> dict[str, Predict]:
    """Train the three models and write the scans kept apart for the people.

    Returns:
        ``v1`` naive Bayes, ``v2`` a support vector machine, ``v3`` that same machine behind a preprocessing step
        which is off by one pixel: each scan arrives shifted to the right.
    """
    # scikit-learn is an extra of the demo: the product never loads it.
    from sklearn.datasets import load_digits
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import SVC

    data: Any = load_digits()
    import numpy as np

    order = np.random.default_rng(SPLIT_SEED).permutation(len(data.target))
    learn, keep = order[: len(order) // 2], order[len(order) // 2 :]
    naive = GaussianNB().fit(data.data[learn], data.target[learn])
    machine = SVC(gamma=0.001, C=10.0).fit(data.data[learn], data.target[learn])
    rows = [
        {"index": int(i), "pixels": [int(p) for p in data.data[i]], "label": int(data.target[i])}
        for i in keep
    ]
    scratch = folder / (SCANS_FILE + ".new")
    scratch.write_text(json.dumps(rows))
    scratch.replace(folder / SCANS_FILE)

    def v1(scans: list[list[float]]) -> list[int]:
        return [int(digit) for digit in naive.predict(np.asarray(scans))]

    def v2(scans: list[list[float]]) -> list[int]:
        return [int(digit) for digit in machine.predict(np.asarray(scans))]

    def v3(scans: list[list[float]]) -> list[int]:
        images = np.asarray(scans).reshape(-1, SIDE, SIDE)
        shifted = np.zeros_like(images)
        shifted[:, :, 1:] = images[:, :, :-1]
        return v2(shifted.reshape(-1, PIXELS).tolist())

    return {"v1": v1, "v2": v2, "v3": v3}
