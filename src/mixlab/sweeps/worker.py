"""One job of a sweep, in a process of its own: what happens in the child."""

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlab.signals import end_with_parent
from mixlab.training.ranks import forget_torchrun

HELD_BACK = {signal.SIGTERM, signal.SIGHUP}  # by the server that jobs are forked from


@dataclass(frozen=True)
class JobSpec:
    """What a child needs to know.

    Attributes:
        config: The configuration of its arm, as YAML.
        folder: Of the run; the child's output goes to a file there.
        own: Values for this run alone: its seed, and what the sweep has decided.
        environment: Variables to set before anything touches a GPU.
    """

    config: str
    folder: Path
    own: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def run_config(self) -> Any:
        """The configuration of the run."""
        from omegaconf import OmegaConf

        cfg: Any = OmegaConf.create(self.config)
        cfg.update(dict(self.own))
        return cfg


def run_job(spec: JobSpec) -> None:
    """Train one run. The exit status is 0 only if the run is finished."""
    gc.freeze()  # what the server has imported
    gc.enable()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    os.setsid()  # only the launcher receives Ctrl-C, and it can kill the whole group
    forget_torchrun(os.environ)
    train_in(spec)


def train_in(spec: JobSpec, log: str = "log.txt") -> None:
    """Train one run in this process, which ends with its parent and writes to `log`."""
    end_with_parent()
    redirect(spec.folder / log)
    faulthandler.enable()  # so the log has the line of a segmentation fault
    os.environ.update(spec.environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from mixlab.config.explain import explain
    from mixlab.errors import Told, exit_status
    from mixlab.training.supervise import train

    try:
        train(spec.run_config())
    except Exception as error:
        if not isinstance(error, Told):
            explain(error)
        sys.exit(exit_status(error))


def redirect(path: Path) -> None:
    """Send everything that this process and its children print to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
