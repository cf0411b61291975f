"""What is measured: the processes that serve a port, their processor time and their memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = CORES[0], CORES[-1]
RESET_PEAK = "5"  # proc(5), clear_refs: the peak of the resident set begins anew


@dataclass(frozen=True)
class Target:
    """A name, a port, and the process that was started, whose children serve with it."""

    name: str
    port: int
    master: int

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return [self.master, *map(int, children)]

    def tasks(self) -> Iterator[Path]:
        for pid in self.processes():
            yield from Path(f"/proc/{pid}/task").iterdir()

    def pin(self, core: int) -> None:
        for task in self.tasks():
            os.sched_setaffinity(int(task.name), {core})

    def cpu_ns(self) -> int:
        """Processor time of all processes so far, user and system."""
        return self._scheduled(0)

    def waited_ns(self) -> int:
        """Time in which they could have run, and something else had the core."""
        return self._scheduled(1)

    def memory_kb(self) -> int:
        """Memory of their own, in KiB: what is no file's page."""
        return self._sum("RssAnon:")

    def resident_kb(self) -> int:
        """All memory, in KiB; the peak of it begins anew."""
        for pid in self.processes():
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        return self._sum("VmRSS:")

    def peak_kb(self) -> int:
        """The most memory since ``resident_kb``, in KiB."""
        return self._sum("VmHWM:")

    def _scheduled(self, column: int) -> int:
        return sum(int((task / "schedstat").read_text().split()[column]) for task in self.tasks())

    def _sum(self, field: str) -> int:
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self.processes())
        return sum(int(text.partition(field)[2].split()[0]) for text in texts)
