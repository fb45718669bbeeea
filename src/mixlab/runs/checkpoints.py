"""Checkpoints that are sealed with a digest, and checked before they are used.

torch does not notice flipped bits.
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
from safetensors.torch import save

from mixlab.errors import UserError
from mixlab.runs.atomic import write_bytes
from mixlab.runs.folder import Run

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
RESTART_REMEDY = "existing=new archives the run and trains it again"
SEAL_MARK = b"sha256:"
SEAL = len(SEAL_MARK) + 2 * hashlib.sha256().digest_size


class Broken(UserError):
    """A checkpoint that differs from what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.fault = f"{path} is broken: {reason}"
        super().__init__(f"{self.fault}; {RESTART_REMEDY}")


def sealed(checkpoint: dict[str, Any]) -> memoryview:
    """The output of `torch.save`, with its SHA-256 as the comment at the end of a zip archive."""
    archive = io.BytesIO()
    torch.save(checkpoint, archive)
    archive.seek(-2, os.SEEK_END)  # the length of the comment
    archive.write(SEAL.to_bytes(2, "little"))
    archive.write(SEAL_MARK + hashlib.sha256(archive.getbuffer()).hexdigest().encode())
    return archive.getbuffer()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU. Checkpoints of other programs have no seal to check.

    Raises:
        Broken: it was cut short or changed.
    """
    data = path.read_bytes()
    if not data:
        raise Broken(path, "it is empty")
    seal = hashlib.sha256(memoryview(data)[:-SEAL]).hexdigest().encode()
    ours = data[-SEAL:].startswith(SEAL_MARK)
    if ours and data[-SEAL:] != SEAL_MARK + seal:
        raise Broken(path, "it differs from what was written")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise Broken(path, "it holds more than tensors and plain values") from None
    except Exception as error:  # torch raises many kinds
        raise Broken(path, str(error).partition(". ")[0]) from None


def digest_of(path: Path) -> str:
    """The SHA-256 in a checkpoint's seal; of the whole file, if another program wrote it."""
    with open(path, "rb") as file:
        file.seek(-min(SEAL, path.stat().st_size), os.SEEK_END)
        seal = file.read()
        if seal.startswith(SEAL_MARK):
            return seal.removeprefix(SEAL_MARK).decode()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest(folder: Path) -> tuple[Path | None, str]:
    """The newest intact checkpoint of a run, and what is wrong with a newer one.

    Raises:
        UserError: all checkpoints are broken. The user decides whether to start again.
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
    """Write `<name>.safetensors` beside each checkpoint, with metadata that describe the weights.

    Args:
        spec: the data's channels, height, width and class names, a dataclass.
    """
    facts = {name: str(run.record[name]) for name in ("arm", "hash", "seed")}
    facts |= {"format": "pt", "data": json.dumps({"name": run.cfg.data.name, **asdict(spec)})}
    for path in (run.checkpoints / "last.ckpt", run.checkpoints / "best.ckpt"):
        if path.is_file():
            packed = torch.contiguous_format
            state = load_checkpoint(path)["state_dict"].items()
            weights = {name: x.clone(memory_format=packed) for name, x in state}
            write_bytes(path.with_suffix(".safetensors"), save(weights, metadata=facts))
