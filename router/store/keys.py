"""Every key in Redis, in one table: what it is, who writes it.

| key | type | holds | written by |
|---|---|---|---|
| {flags}:meta | hash | store_id: tells a wiped or another store; changes: their number so far | put.lua |
| {flags}:flags | hash | route -> flag | put.lua |
| {flags}:revisions | hash | route -> revision:digest of its flag | put.lua |
| {flags}:changes | sorted set | route by the number of its latest change; what gateways poll | put.lua |
| {flags}:ahead | hash | route -> a revision that a gateway routes by and this store has lost | gateways, put.lua |
| {flags}:deleted | hash | route -> its flag as it was, under the revision of its deletion | put.lua |
| {flags}:kept | hash | route and revision -> the flag as it was; the last 50 of each route | put.lua |
| {flags}:runs | hash | run -> run state | put.lua |
| {flags}:experiments | hash | experiment -> its latest run | put.lua |
| {flags}:files | hash | route or experiment -> the file as last applied | put.lua |
| {flags}:audit | stream | one entry per change | put.lua |
| {flags}:lease, {flags}:token | string | who leads, and the fencing token | lease.lua |
| {flags}:gateways | hash | writer -> heartbeat | gateways |
| {flags}:notice | channel | a hint that something changed | put.lua |
| {run:p}:events | stream | packed events | gateways, API |
| {run:p}:cursor | hash | cursor, token, state of the fold | fold.lua |
| {run:p}:units | hash | unit digest -> record | fold.lua |
| {run:p}:due | sorted set | unit digest by the time it can be closed | fold.lua |
| {run:p}:moments | hash | whole-number sums as decimal text | fold.lua |
| {run:p}:dead | stream | entries that could not be read, with the reason | controller |
| {run:p}:sticky:r | sorted set | unit digests that a sticky run remembers from revision r on | sticky.lua |

The braces are the slot: all keys that one script touches share one.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTITIONS = 1


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of one (run, partition)."""

    events: str
    cursor: str
    units: str
    due: str
    moments: str
    dead: str


class Keys:
    """All keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        flags = f"{prefix}{{flags}}:"
        self.prefix = prefix
        self.meta = flags + "meta"
        self.flags = flags + "flags"
        self.revisions = flags + "revisions"
        self.changes = flags + "changes"
        self.ahead = flags + "ahead"
        self.deleted = flags + "deleted"
        self.kept = flags + "kept"
        self.runs = flags + "runs"
        self.experiments = flags + "experiments"
        self.files = flags + "files"
        self.audit = flags + "audit"
        self.lease = flags + "lease"
        self.token = flags + "token"
        self.gateways = flags + "gateways"
        self.notice = flags + "notice"

    def run(self, run: str, partition: int = 0) -> RunKeys:
        """The keys of one partition of a run."""
        slot = f"{self.prefix}{{{run}:{partition}}}:"
        return RunKeys(*(slot + name for name in ("events", "cursor", "units", "due", "moments", "dead")))

    def sticky(self, run: str, since: int, partition: int = 0) -> str:
        """The units that a sticky run remembers from a revision on."""
        return f"{self.prefix}{{{run}:{partition}}}:sticky:{since}"
