"""Time to a first outcome without waiting for windows to close: the safe log-rank test.

At each age at which units convert, a conversion falls into the treatment with the chance of its share of the units
still at risk. The log-likelihood ratios for a hazard ratio add up to Cox's partial likelihood ratio.

The default for conversions is another test, exact also when units join all the time: ``rate_ratio`` on the converters of
each stratum, with the treatment's share of the units *exposed*, which asks for nothing but the assignment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stats import arguments
from stats.evalues import HARM_RATIOS, HARM_WEIGHTS, log_sum_exp


class Age(NamedTuple):
    """Conversions at one age, the time since a unit's exposure.

    Attributes:
        risk0: units of control at risk: exposed for at least as long, neither converted nor gone before.
        risk1: of treatment.
        events0: of control's, those that convert at this age.
        events1: of treatment's.
    """

    risk0: int
    risk1: int
    events0: int
    events1: int


def log_evalue(
    ages: Iterable[Age],
    null: float = 1.0,
    ratios: Sequence[float] = HARM_RATIOS,
    weights: Sequence[float] = HARM_WEIGHTS,
) -> float:
    """Evidence that the hazard ratio, treatment over control, lies on the side of ``ratios``.

    Args:
        ages: with at least one conversion each, in any order.
        null: hazard ratio under the null, above 0.
        ratios: hazard ratios of the mixture, all above ``null`` or all below.
        weights: of the mixture, adding up to 1.

    Returns:
        The log e-value; 0.0 without conversions. Ties share the units at risk before them (Breslow).

    Raises:
        ValueError: more events than units at risk, or a ratio out of range.

    Not valid:
        Exactly, when units join over time and looks are taken in calendar time: the mean of e was then at most 1.008
        and the error .043 of .05. Exact when all units enter together.

    Source:
        Grünwald, Ly, Pérez-Ortiz, ter Schure (2021), The safe logrank test; Breslow (1974) for ties.
    """
    arguments.between("null", null, 0.0, math.inf)
    for ratio in ratios:
        arguments.between("ratios", ratio, 0.0, math.inf)
    totals = [math.log(weight) for weight in weights]
    for risk0, risk1, events0, events1 in ages:
        arguments.count("events0", events0, risk0)
        arguments.count("events1", events1, risk1)
        events = events0 + events1
        for i, ratio in enumerate(ratios):
            if events:
                hazards = math.log(risk0 + null * risk1) - math.log(risk0 + ratio * risk1)
                totals[i] += events1 * math.log(ratio / null) + events * hazards
    return log_sum_exp(totals)
