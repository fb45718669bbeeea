"""The figures of a finished run in one line."""

from typing import Any

from mixlab.runs import Run


def summary(results: dict[str, Any]) -> str:
    """`test accuracy 0.9510 (chosen on validation), 0.9490 (last)`."""
    rows = {"chosen on validation": results.get("best") or {}, "last": results.get("last") or {}}
    for metric in ("test/iou", "test/accuracy", "val/iou", "val/accuracy"):
        known = {when: row.get(metric) for when, row in rows.items()}
        found = [f"{x:.4f} ({when})" for when, x in known.items() if isinstance(x, int | float)]
        if found:
            return f"{metric.replace('/', ' ')} {', '.join(found)}"
    return "no metrics"


def name_of(run: "Run") -> str:
    """A run as people call it."""
    return "/".join(run.folder.parts[-2:])
