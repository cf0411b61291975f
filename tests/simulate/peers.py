"""What other products were measured at, in the same worlds and with the same looks: one table, for tables and pictures.

Each was run from its installed package, or in its published closed form after that was checked against the package, on
streams of its own (2,000 replications, fewer for the slow ones). A bound is what no test of that sort can beat.
"""

from __future__ import annotations

PEERS: dict[str, list[tuple[str, float]]] = {
    "wrong, p .1, of .05": [
        ("default GrowthBook", 0.049),
        ("tuned GrowthBook", 0.030),
        ("Eppo", 0.041),
        ("ville", 0.038),
        ("tuned avlm", 0.024),
        ("Statsig", 0.007),
        ("fixed test at every look", 0.484),
    ],
    "wrong, lognormal, of .05": [
        ("default GrowthBook", 0.040),
        ("tuned GrowthBook", 0.034),
        ("Eppo", 0.035),
        ("tuned avlm", 0.035),
        ("ville", 0.027),
        ("fixed test at every look", 0.482),
    ],
    "power by n80": [
        ("ville", 0.572),
        ("tuned avlm", 0.527),
        ("tuned GrowthBook", 0.438),
        ("savvi", 0.435),
        ("Eppo", 0.431),
        ("default GrowthBook", 0.401),
        ("Statsig", 0.310),
    ],
    "units at the MDE": [
        ("ville", 1.06),
        ("tuned avlm", 1.10),
        ("tuned GrowthBook", 1.25),
        ("Eppo", 1.27),
        ("savvi", 1.28),
        ("default GrowthBook", 1.33),
        ("Statsig", 1.50),
        ("bound", 0.94),
    ],
    "units at twice the MDE": [
        ("savvi", 1.27),
        ("tuned avlm", 1.28),
        ("ville", 1.29),
        ("Eppo", 1.41),
        ("default GrowthBook", 1.42),
        ("Statsig", 1.56),
    ],
    "units, lognormal": [
        ("tuned avlm", 1.12),
        ("ville", 1.13),
        ("tuned GrowthBook", 1.18),
        ("Eppo", 1.19),
        ("Statsig", 1.52),
    ],
    "horizon, power": [("Spotify (power-2)", 0.774), ("fixed test", 0.809)],
    "horizon, units": [("Spotify (power-2)", 0.71), ("fixed test", 1.0)],
    "SPRT, units": [("bound", 0.626)],
    "SPRT, units, no effect": [("bound", 0.371)],
    "rolled back wrongly": [
        ("savvi", 0.001),
        ("GrowthBook", 0.0),
        ("fixed test at every look", 0.050),
        ("twice the baseline in two windows (p 1 %)", 0.33),
        ("the same (p .1 %)", 0.97),
    ],
    "1 → 1.5 %, share .05": [("savvi", 6237), ("GAVI", 7204), ("GrowthBook", 8213), ("bound", 4207)],
    "1 → 2 %, share .05": [("savvi", 1975), ("GAVI", 2362), ("GrowthBook", 2582), ("bound", 1177)],
    "1 → 5 %, share .05": [("savvi", 322), ("GrowthBook", 385), ("GAVI", 546), ("bound", 112)],
    ".1 → .5 %, share .05": [("savvi", 2944), ("GAVI", 4078), ("GrowthBook", 4241), ("bound", 1136)],
    "promotion, share .05": [("SPRT elsewhere", 1141)],
    "mismatch invented": [
        ("chi-square p < .0005 at every look", 0.016),
        ("chi-square p < .001", 0.028),
        ("chi-square p < .01", 0.176),
    ],
    "mismatch 51/49": [("chi-square p < .0005 (invents 1.6 %)", 25_400)],
    "fixed interval at the stop": [("fixed 95 % interval", 0.915)],
    "any false claim of 18": [("uncorrected", 0.295)],
    "doubling seen": [("CUSUM", 2801)],
}


def words(name: str) -> str:
    """The numbers of one comparison as a line of a table."""
    return ", ".join(f"{peer} {given(value)}" for peer, value in PEERS[name])


def given(value: float) -> str:
    """A number with the digits it was given with, without a leading zero."""
    return _bare(f"{value:,.6g}" if abs(value) >= 1000 else f"{value:g}")


def shown(value: float) -> str:
    """A measured number, with three digits that matter or four decimals."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return _bare(f"{value:.4f}" if abs(value) < 0.01 else f"{value:.3f}")


def _bare(text: str) -> str:
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
