"""What people see: a line that moves in a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence

BAR_CELLS = 30
#: How often progress is printed where a line cannot be redrawn.
PLAIN_SECONDS = 1.0
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Screen:
    """Writes to standard output; flushes always, because a pipe has readers too."""

    def __init__(self) -> None:
        self._tty = sys.stdout.isatty()
        self._colour = self._tty and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self._plain_after = 0.0
        self._drawn = False

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def title(self, text: str) -> None:
        self.say()
        self.say(self.paint(text, "bold"))

    def say(self, text: str = "") -> None:
        self._erase()
        print(text, flush=True)

    def event(self, text: str, colour: str = "cyan") -> None:
        """Something happened: with the seconds since the start."""
        self.say(f"  {self.paint(f'{time.monotonic() - self._began:5.1f} s', 'dim')}  {self.paint(text, colour)}")

    def progress(self, done: int, of: int, text: str) -> None:
        bar = "█" * (BAR_CELLS * done // of) + "░" * (BAR_CELLS - BAR_CELLS * done // of)
        line = f"{bar} {done:>{len(str(of))}}/{of}  {text}"
        if self._tty:
            width = shutil.get_terminal_size().columns - 3
            self._erase()
            print(f"  {line[:width]}", end="", flush=True)
            self._drawn = True
        elif time.monotonic() >= self._plain_after:
            self._plain_after = time.monotonic() + PLAIN_SECONDS
            self.event(line)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Numbers to the right, text to the left."""
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[column]) for row in [list(header), *cells]) for column in range(len(header))]
        right = [all(isinstance(row[column], int | float) for row in rows) for column in range(len(header))]

        def line(row: Sequence[str]) -> str:
            return "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right, strict=True))

        self.say("  " + self.paint(line(list(header)).rstrip(), "dim"))
        for row in cells:
            self.say("  " + line(row).rstrip())

    def _erase(self) -> None:
        if self._drawn:
            print("\r\x1b[2K", end="")
            self._drawn = False
