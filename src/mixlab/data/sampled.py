"""Rows of the training as they come to be mixed, for what is measured on them before it begins."""

from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from mixlab.mixing.sample import Sample

SAMPLED_ROWS, SAMPLED_NUMBERS = 1024, 2**25  # the second are 128 MiB


def sampled_rows(data: Any, world_size: int) -> Sample:
    """Of an `ImageDataModule`, augmented and normalized on the CPU.

    They are the same for every rank, seed and resumed run: batches of one process, evenly from an
    epoch of seed 0, until there are `SAMPLED_ROWS` rows or `SAMPLED_NUMBERS` numbers. They are read
    in this process, and nothing but addresses seeds a draw.
    """
    plan = replace(data.train_plan(), seed=0, rank=0, world_size=world_size, guests=None)
    rows = min(SAMPLED_ROWS, max(1, SAMPLED_NUMBERS // torch.Size(data.spec.shape).numel()))
    wanted = -(-rows * world_size // data.batch_size)
    keys = islice(plan.batches(0), 0, None, max(1, len(plan) // wanted))
    fetch = data.with_label_noise(data.augmented_part().data.batches)
    batches = [data.mixable(batch) for batch in fetch(islice(keys, wanted))]
    images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Sample(images, targets, plan.shuffle)
