"""How much memory everything that was started takes at its peak."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class PeakMemory:
    """Samples this process and all below it in the background.

    ``rss`` is the plain sum and counts a page once for every process that shares it; ``pss`` divides shared pages
    among them and so is what the machine really needs. Linux only; elsewhere ``pss`` stays 0.
    """

    seconds: float = 2.0
    rss: int = 0
    pss: int = 0
    _stop: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def start(self) -> None:
        """Samples until this process ends."""
        threading.Thread(target=self._sample_on, name="peak memory", daemon=True).start()

    def stop(self) -> None:
        """Ends the sampling."""
        self._stop.set()

    def __str__(self) -> str:
        shared = f"{self.pss / 2**30:.1f} GB" if self.pss else ""
        plain = f"{self.rss / 2**30:.1f} GB"
        return f"{shared} (sum of resident sizes, shared pages counted each time: {plain})" if shared else plain

    def _sample_on(self) -> None:
        while not self._stop.wait(self.seconds):
            self.sample()

    def sample(self) -> None:
        """Takes one sample."""
        rss = pss = 0
        this = psutil.Process(os.getpid())
        for process in (this, *this.children(recursive=True)):
            with contextlib.suppress(psutil.Error, OSError):
                rss += process.memory_info().rss
                pss += _pss(process.pid)
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        return 0
    for line in rollup.read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
