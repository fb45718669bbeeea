"""The figures of a finished run in one line."""

from pathlib import Path
from typing import Any


def results_line(results: dict[str, Any]) -> str:
    """`test accuracy 0.9510 (chosen on validation), 0.9490 (last)`."""
    rows = {"chosen on validation": results.get("best") or {}, "last": results.get("last") or {}}
    for metric in ("test/iou", "test/accuracy", "val/iou", "val/accuracy"):
        known = {when: row.get(metric) for when, row in rows.items()}
        found = [f"{x:.4f} ({when})" for when, x in known.items() if isinstance(x, int | float)]
        if found:
            return f"{metric.replace('/', ' ')} {', '.join(found)}"
    return "no metrics"


def run_name(folder: Path) -> str:
    """`digits-cnn-mixup-7845f86b/seed-0`: a run's arm and its seed."""
    return "/".join(folder.parts[-2:])
