"""Checkpoints that can be trusted: whole or not there at all, and checked before they are used.

Lightning's own writer stages in `TMPDIR`, from where a file reaches another file system in pieces:
a full disk then leaves half a checkpoint under its final name. And torch reads past flipped bits.
"""

import hashlib
import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pytorch_lightning.plugins import CheckpointIO
from safetensors.torch import save

from mixlab.errors import UserError
from mixlab.runs.atomic import write_bytes
from mixlab.runs.folder import Run

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
RESTART_REMEDY = "existing=new archives the run and trains it again"
SEAL_MARK = b"sha256:"
SEAL = len(SEAL_MARK) + 2 * hashlib.sha256().digest_size


class Broken(UserError):
    """A checkpoint that is not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.fault = f"{path} is broken: {reason}"
        super().__init__(f"{self.fault}; {RESTART_REMEDY}")


class SealedFiles(CheckpointIO):
    """Write beside the final place, sync and rename; `last.ckpt` becomes `previous.ckpt` first.

    Only tensors and plain values are ever loaded.
    """

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
    """Let the checkpoint that is about to be replaced be the previous one."""
    if last.exists():
        os.replace(last, last.with_name(PREVIOUS))


def sealed(checkpoint: dict[str, Any]) -> memoryview:
    """What `torch.save` makes, with its SHA-256 as the comment that a zip archive may end with."""
    archive = io.BytesIO()
    torch.save(checkpoint, archive)
    archive.seek(-2, os.SEEK_END)  # the length of the comment
    archive.write(SEAL.to_bytes(2, "little"))
    archive.write(SEAL_MARK + hashlib.sha256(archive.getbuffer()).hexdigest().encode())
    return archive.getbuffer()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU. One that others wrote has no seal and is taken as it is.

    Raises:
        Broken: it was cut short, or changed.
    """
    data = path.read_bytes()
    if not data:
        raise Broken(path, "it is empty")
    seal = hashlib.sha256(memoryview(data)[:-SEAL]).hexdigest().encode()
    ours = data[-SEAL:].startswith(SEAL_MARK)
    if ours and data[-SEAL:] != SEAL_MARK + seal:
        raise Broken(path, "it is not what was written")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise Broken(path, "it holds more than tensors and plain values") from None
    except Exception as error:  # torch raises whatever it stumbles over
        raise Broken(path, str(error).partition(". ")[0]) from None


def newest(folder: Path) -> tuple[Path | None, str]:
    """The newest whole checkpoint of a run, and in words what is wrong with the one after it.

    Raises:
        ValueError: there are checkpoints, all broken. To start anew is not for us to decide.
    """
    wrong = []
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            if path.exists():
                load_checkpoint(path)
                return path, "; ".join(wrong)
        except Broken as error:
            wrong.append(error.fault)
    if wrong:
        raise UserError(
            f"there is no checkpoint to resume from: {'; '.join(wrong)}; {RESTART_REMEDY}"
        )
    return None, ""


def export_weights(run: Run, spec: Any) -> None:
    """Write `<name>.safetensors` beside each checkpoint, whose metadata say what the weights are.

    Args:
        spec: of the data, a dataclass: channels, height, width and the names of the classes.
    """
    facts = {name: str(run.record[name]) for name in ("arm", "hash", "seed")}
    facts |= {"format": "pt", "data": json.dumps({"name": run.cfg.data.name, **asdict(spec)})}
    for path in (run.checkpoints / "last.ckpt", run.checkpoints / "best.ckpt"):
        if path.is_file():
            packed = torch.contiguous_format
            state = load_checkpoint(path)["state_dict"].items()
            weights = {name: x.clone(memory_format=packed) for name, x in state}
            write_bytes(path.with_suffix(".safetensors"), save(weights, metadata=facts))
