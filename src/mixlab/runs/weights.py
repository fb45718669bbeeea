"""The weights of a finished run for other programs: tensors and what they mean, no code."""

import json
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import save

from mixlab.runs.checkpoints import load
from mixlab.runs.files import write_bytes
from mixlab.runs.run import Run


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
            state = load(path)["state_dict"].items()
            weights = {name: x.clone(memory_format=packed) for name, x in state}
            write_bytes(path.with_suffix(".safetensors"), save(weights, metadata=facts))
