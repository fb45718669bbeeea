"""Keep what benchmarks of mixing found in one file, which `scripts/method_cards.py` reads."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import torch

from mixlab.runs.provenance import hardware


def keep(path: Path, part: str, found: dict[str, Any], turns: int, note: str = "") -> None:
    """Write `found` as one part of the file, with when, where and how often it was measured."""
    whole = json.loads(path.read_text()) if path.exists() else {}
    where = {"cpu": hardware()["cpu"], "torch": torch.__version__}
    measured = {"date": str(date.today()), **where, "turns": turns, "note": note}
    whole[part] = {"measured": measured, **found}
    path.write_text(json.dumps(dict(sorted(whole.items())), indent=1) + "\n")
