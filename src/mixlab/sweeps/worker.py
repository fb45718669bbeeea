"""One job of a sweep, in a process of its own: what happens in the child."""

import faulthandler
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mixlab.signals import end_with_parent

HELD_BACK = {signal.SIGTERM, signal.SIGHUP}  # by the server that jobs are forked from


@dataclass(frozen=True)
class JobSpec:
    """What a child needs to know.

    Attributes:
        config: The configuration, as YAML.
        folder: Of the run; the child's output goes to `log.txt` there.
        environment: Variables to set before anything touches a GPU.
    """

    config: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)


def run_job(ticket: JobSpec) -> None:
    """Train one run. The exit status is 0 only when it is finished."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    os.setsid()  # so that only the launcher sees Ctrl-C, and the whole group can be ended
    end_with_parent()
    redirect(ticket.folder / "log.txt")
    faulthandler.enable()  # a segmentation fault says in the log where it was
    os.environ.update(ticket.environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from omegaconf import OmegaConf

    from mixlab.config.explain import explain
    from mixlab.errors import exit_status
    from mixlab.training.supervise import train

    try:
        train(OmegaConf.create(ticket.config))  # pyright: ignore[reportArgumentType]
    except Exception as error:
        explain(error)
        sys.exit(exit_status(error))


def redirect(path: Path) -> None:
    """Let everything that this process and its own children print go to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
