"""Checkpoints that are complete or absent, in place of Lightning's own.

Lightning's writer stages in `TMPDIR`, and copying to another file system is not atomic: a full disk
can leave half a checkpoint under its final name.
"""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins import CheckpointIO

from mixlab.runs.atomic import write_bytes
from mixlab.runs.checkpoints import LAST, PREVIOUS, load_checkpoint, sealed


class SealedFiles(CheckpointIO):
    """Write atomically, keeping the old `last.ckpt` as `previous.ckpt`; load only plain values."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, sealed(checkpoint), before=rotate_last if path.name == LAST else None)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def rotate_last(last: Path) -> None:
    """Keep the checkpoint that is about to be replaced as the previous one."""
    if last.exists():
        os.replace(last, last.with_name(PREVIOUS))
