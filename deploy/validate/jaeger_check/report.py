"""What a person reads: the trace as a tree, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jaeger_check.span import Span

#: Deeper than any trace of the workload; a trace that names itself as its parent ends here.
DEPTH_MAX = 32


def tree(spans: Sequence[Span]) -> str:
    """One line for each span under its parent: name, kind, service, when it started after the first, and how long it took."""
    if not spans:
        return ""
    known = {span.id for span in spans}
    first = min(span.start_us for span in spans)
    rows = [row for root in spans if root.parent not in known for row in _rows(root, spans, "", "", 0)]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"    {label:<{width}}  {span.kind or 'no kind':<9} {span.service:<20} {_ms(span.start_us - first):>9} {_ms(span.duration_us):>9}" for label, span in rows)


def _rows(span: Span, spans: Sequence[Span], lead: str, below: str, depth: int) -> Iterable[tuple[str, Span]]:
    dangling = f"  (its parent {span.parent} is not in the trace)" if depth == 0 and span.parent is not None else ""
    yield f"{lead}{span.name}{dangling}", span
    children = [child for child in spans if child.parent == span.id] if depth < DEPTH_MAX else []
    for child in children:
        last = child is children[-1]
        yield from _rows(child, spans, f"{below}{'└ ' if last else '├ '}", f"{below}{'  ' if last else '│ '}", depth + 1)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
