"""Segments, layers and holdouts as people write them: names that several routes and experiments share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from router.bucketing import PPM
from router.conditions import LONGEST_LIST
from router.lanes import Holdout
from router.strict import Duration, Name, Percent, Strict, Whole, wrong

COOLDOWN_MS = 604_800_000


class SegmentFile(Strict):
    """A named set of texts: units, countries, tenants."""

    segment: Name
    values: Annotated[list[str], Field(max_length=LONGEST_LIST)]


class LayerFile(Strict):
    """A layer: one population of one kind of unit, dealt out to experiments that must not overlap.

    ``cooldown``: how long a range rests after its experiment has ended, since its units remember the treatment.
    ``shuffle`` is a part of the salt: another number deals the whole layer anew.
    """

    layer: Name
    unit: Name
    cooldown: Duration = COOLDOWN_MS
    shuffle: Whole = 1

    @property
    def salt(self) -> str:
        """The salt of the layer's buckets."""
        return f"layer:{self.layer}:{self.shuffle}"


class HoldoutFile(Strict):
    """A holdout: the few units that every experiment which names it leaves alone."""

    holdout: Name
    unit: Name
    share: Percent

    @model_validator(mode="after")
    def _leaves_some(self) -> HoldoutFile:
        if self.share >= PPM:
            raise wrong("a share below 100%", "100%", at=("share",))
        return self

    def compiled(self) -> Holdout:
        """The holdout as an experiment holds it."""
        return Holdout(self.holdout, f"holdout:{self.holdout}", self.share)
