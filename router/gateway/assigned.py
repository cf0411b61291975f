"""One assignment that a route can make, ready for requests: all about it that is the same in each of them."""

from __future__ import annotations

from collections.abc import Callable

from router.assignment import Assignment
from router.events import EXPOSURE, pack_where
from router.gateway.arm import ArmRoute
from router.gateway.counters import Tally


class Assigned:
    """One assignment, its unit's bucket aside.

    Attributes:
        arm: the assigned one.
        index: of the arm in the run; -1 when not enrolled.
        where: an exposure's row says this and the bucket.
        tally: how many requests had this reason.
        sign: makes decision ids; None until one is wanted.
    """

    __slots__ = ("arm", "enrolled", "index", "reason", "sign", "tally", "where")

    def __init__(self, assignment: Assignment, arm: ArmRoute, tally: Tally) -> None:
        self.arm = arm
        self.tally = tally
        self.reason = assignment.reason
        self.index = assignment.arm_index
        self.enrolled = self.index >= 0
        self.where = pack_where(0, self.index, EXPOSURE) if self.enrolled else 0
        self.sign: Callable[[int, int, int], bytes] | None = None
