"""What a person reads: the trace as a tree, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
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
    lines = [("span", "kind", "service", "starts at", "takes")]
    lines += [(label, span.kind or "no kind", span.service, _ms(span.start_us - first), _ms(span.duration_us)) for label, span in rows]
    name, kind, service, start, takes = (max(len(line[column]) for line in lines) for column in range(5))
    return "\n".join(f"    {a:<{name}}  {b:<{kind}}  {c:<{service}}  {d:>{start}}  {e:>{takes}}" for a, b, c, d, e in lines)


def warnings(spans: Sequence[Span]) -> list[str]:
    """What Jaeger itself found odd, each said once with how many spans it is about. Its numbers differ from span to span and are left out."""
    counted = Counter((warning.partition(". ")[0], span.service, span.name) for span in spans for warning in span.warnings)
    return [f"Jaeger warns of {count} × `{name}` ({service}): {warning}" for (warning, service, name), count in counted.items()]


def _rows(span: Span, spans: Sequence[Span], lead: str, below: str, depth: int) -> Iterable[tuple[str, Span]]:
    dangling = f"  (its parent {span.parent} is not in the trace)" if depth == 0 and span.parent is not None else ""
    yield f"{lead}{span.name}{dangling}", span
    children = [child for child in spans if child.parent == span.id] if depth < DEPTH_MAX else []
    for child in children:
        last = child is children[-1]
        yield from _rows(child, spans, f"{below}{'└ ' if last else '├ '}", f"{below}{'  ' if last else '│ '}", depth + 1)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
