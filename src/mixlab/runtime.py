"""Settings of the process, made by a program and not by an import."""

import ctypes
import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig

from mixlab.checks import whole

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # from malloc.h


def set_threads(threads: int | str) -> int:
    """Set the number of CPU threads, all cores for `auto`; returns it."""
    import torch

    whole(1).or_("auto").check("threads", threads)
    count = available_cores() if threads == "auto" else int(threads)
    os.environ["OMP_NUM_THREADS"] = str(count)  # for processes that this one starts
    torch.set_num_threads(count)
    return count


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Within, objects are made that all stay, and looking for garbage among them takes long.

    It is a fifth of the time of importing torch and Lightning, or of planning thousands of runs.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def keep_memory() -> None:
    """Ask glibc to keep freed large blocks for the next step.

    Otherwise page faults take half of the time of a small network on a CPU, and nine tenths of the
    time to copy a batch of large images.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)  # blocks above 32 MiB would be mapped anew each time
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 * 2**20)


def quiet() -> None:
    """Silence advice that does not apply here, but no warning that may matter."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # the user asked
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*`srun` command is available.*",
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*Experiment logs directory .* exists.*",
        ".*treespec, LeafSpec.*",
        ".*There is a wandb run already in progress.*",
        ".*It is recommended to use .*sync_dist=True.*",
        ".*You requested to overfit but enabled .* dataloader shuffling.*",
        ".*torch.distributed.nn.functional.all_gather is deprecated.*",  # Lightning calls it
        ".*Total length of `list` across ranks is zero.*",
        ".*You passed in a `val_dataloader` but have no `validation_step`.*",
        ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ):
        warnings.filterwarnings("ignore", message)


def threads_for(cfg: DictConfig, jobs: int) -> int:
    """CPU threads of each job, so that jobs at the same time share the cores."""
    return max(1, available_cores() // (jobs * max(1, processes_of(cfg))))


def processes_of(cfg: DictConfig) -> int:
    """Processes of one job; -1 for one per GPU."""
    devices = cfg.trainer.devices
    return int(devices) if isinstance(devices, int) or str(devices).lstrip("-").isdecimal() else 1


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
