"""`metrics.csv`: one row for each time something was logged; continued when a run is resumed.

Lightning's CSVLogger starts its file anew on resume and loses the rows before.
"""

import csv
import io
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from mixlab.runs.atomic import write_text, writing

FIRST = ("epoch", "step")


class MetricsFile(Logger):
    """Append rows to `folder`/metrics.csv; a new column rewrites the file, whole or not at all."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = list(FIRST)

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        self.rows.append(row)
        new = sorted(set(row) - set(self.columns))
        if new or not self.path.exists():
            self.columns += new
            self._rewrite()
        else:
            with writing(self.path), open(self.path, "a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)

    @rank_zero_only
    def resume(self, step: int, pending: dict[str, float] | None = None) -> None:
        """Go on from a checkpoint taken after `step` steps: rows logged later will come again.

        Args:
            pending: a row that was to be logged when the checkpoint was there, and may be missing.
        """
        if self.path.exists():
            text = self.path.read_bytes().decode()
            lines = text[: text.rfind("\n") + 1].splitlines()  # a full disk tears the last one
            reader = csv.DictReader(lines)
            self.columns = list(reader.fieldnames or FIRST)
            whole = [row for row in reader if None not in row.values() and row["step"].isdecimal()]
            self.rows = [row for row in whole if int(row["step"]) < step]
            self._rewrite()
        if pending and not any(self._tells(row, step - 1, pending) for row in self.rows):
            self.log_metrics(pending, step - 1)

    @staticmethod
    def _tells(row: dict[str, Any], step: int, metrics: dict[str, float]) -> bool:
        return int(row["step"]) == step and all(row.get(name) for name in metrics)

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
