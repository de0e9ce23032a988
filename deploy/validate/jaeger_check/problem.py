"""What ends a run early: something outside the trace is not as it must be."""

from __future__ import annotations


class Problem(Exception):
    """A stable code, what happened, and what to do about it. The codes are listed in ../README.md."""

    def __init__(self, code: str, detail: str, hint: str) -> None:
        super().__init__(f"[{code}] {detail}")
        self.code = code
        self.detail = detail
        self.hint = hint
