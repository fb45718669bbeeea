"""`metrics.csv`: one row for each call that logs metrics; continued when a run is resumed.

Lightning's CSVLogger starts a new file on resume and loses the earlier rows.
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
    """Append rows to `folder`/metrics.csv; a new column rewrites the file atomically."""

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
        """Do nothing: `config.yaml` has them."""

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
        """Continue from a checkpoint after `step` steps: drop later rows, which will come again.

        Args:
            pending: a row that should have been logged after the checkpoint, and may be missing.
        """
        if self.path.exists():
            text = self.path.read_bytes().decode()
            lines = text[: text.rfind("\n") + 1].splitlines()  # a full disk cuts the last one
            reader = csv.DictReader(lines)
            self.columns = list(reader.fieldnames or FIRST)
            whole = [row for row in reader if None not in row.values() and row["step"].isdecimal()]
            self.rows = [row for row in whole if int(row["step"]) < step]
            self._rewrite()
        at_last_step = [row for row in self.rows if int(row["step"]) == step - 1]
        if pending and not any(all(map(row.get, pending)) for row in at_last_step):
            self.log_metrics(pending, step - 1)

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
