"""Trainings in a process of their own, which can be killed as the kernel does it."""

import itertools
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from omegaconf import DictConfig

from helpers.small_runs import train_with
from mixlab.callbacks import Interrupted
from mixlab.loggers import MetricsFile


def train_in_child(cfg: DictConfig, *callbacks: pl.Callback, dies_at: int | None = None) -> int:
    """Train in a fork; its exit status, -9 where it was killed.

    Args:
        dies_at: the number, from 0, of the write (a file's rename or a row of metrics.csv) before
            which it is killed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with killed_at(dies_at):
                train_with(cfg, *callbacks)
            status = 0
        except Interrupted:
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(write: int | None) -> ExitStack:
    """Within, this process is killed before one of its writes."""
    count = itertools.count()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(count) == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    stack = ExitStack()
    stack.enter_context(patch.object(os, "replace", counted(os.replace)))
    rows = counted(MetricsFile.log_metrics)
    stack.enter_context(patch.object(MetricsFile, "log_metrics", rows))
    return stack
