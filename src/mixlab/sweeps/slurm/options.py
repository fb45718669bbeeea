"""The keys of `hydra.launcher` for SLURM, and what `sbatch` is asked for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError
from mixlab.runtime import processes_of

TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
NOT_TO_GIVE = (  # given by us, so that the same command finds its jobs again
    "array", "chdir", "dependency", "export", "job-name", "nodes", "ntasks", "ntasks-per-node",
    "output", "error", "open-mode", "parsable", "requeue", "no-requeue", "signal", "wait", "wrap",
)  # fmt: skip
SHELL = ("setup", "sbatch")


@dataclass
class SlurmOptions:
    """Most names are those of `sbatch`; what is None is left to the cluster's defaults.

    Attributes:
        time: the limit of one job; a run that needs longer is requeued and resumes.
        mem: memory of each node.
        cpus_per_task: by default the threads of the run and its loader workers.
        gpus_per_node: as `4` or `a100:4`; by default `trainer.devices` if `trainer.accelerator`
            is gpu or cuda, else none.
        at_once: jobs of this sweep that may run at the same time.
        setup: lines of shell that each job runs first.
        sbatch: any other options, as `{mail-type: FAIL}`.
        signal_before: seconds before the time limit when a job begins to save.
        max_requeues: times that one job may be stopped by SLURM and start again.
        poll_seconds: seconds between two looks at the queue.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    mem: str | None = None
    cpus_per_task: int | None = None
    gpus_per_node: str | None = None
    at_once: int | None = None
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] = field(default_factory=dict)
    signal_before: int = 120
    max_requeues: int = 20
    poll_seconds: float = 10.0

    def check(self, given: list[str]) -> None:
        """Raise UserError for a value that cannot be.

        Args:
            given: the overrides of Hydra's own node on the command line. Only they may set what a
                shell will run: a configuration file may come from a stranger.
        """
        lowest = {"cpus_per_task": 1, "at_once": 1, "signal_before": 1, "max_requeues": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"hydra.launcher.{name} must be {least} or more, got {value}")
        if self.poll_seconds <= 0:
            raise UserError(f"hydra.launcher.poll_seconds must be above 0, got {self.poll_seconds}")
        for name in SHELL:
            if getattr(self, name) and not any(f"hydra.launcher.{name}" in word for word in given):
                raise UserError(
                    f"hydra.launcher.{name} is run by a shell, so a file may not set it; give it "
                    "on the command line"
                )
        for name in self.sbatch:
            if name.replace("_", "-") in NOT_TO_GIVE:
                raise UserError(
                    f"hydra.launcher.sbatch.{name} is set by the launcher; leave it out"
                )
        self.check_time()

    def check_time(self) -> None:
        """Raise UserError if a job would be told to stop as soon as it starts."""
        if self.time is None:
            return
        seconds = limit_seconds(self.time)
        if seconds <= self.signal_before:
            raise UserError(
                f"hydra.launcher.time={self.time} is no longer than hydra.launcher.signal_before="
                f"{self.signal_before} seconds, when a job begins to save; give it more time"
            )

    def words(self, cfg: DictConfig) -> list[str]:
        """The options of `sbatch` for one job of an arm: jobs with equal words share an array."""
        return [f"--{name}={value}" for name, value in self.resources(cfg) if value is not None]

    def resources(self, cfg: DictConfig) -> Iterator[tuple[str, Any]]:
        """Names and values of what an arm's job needs."""
        for name in ("partition", "account", "qos", "time", "constraint", "reservation", "mem"):
            yield name, getattr(self, name)
        yield "nodes", cfg.trainer.num_nodes
        yield "ntasks-per-node", tasks_per_node(cfg)
        yield "cpus-per-task", self.cpus_of(cfg)
        yield "gpus-per-node", self.gpus_of(cfg)
        yield "signal", f"TERM@{self.signal_before}"
        yield from ((name.replace("_", "-"), value) for name, value in self.sbatch.items())

    def cpus_of(self, cfg: DictConfig) -> int:
        """CPUs of each task."""
        threads = 1 if cfg.threads == "auto" else cfg.threads
        return self.cpus_per_task or threads + (cfg.data.get("num_workers") or 0)

    def threads_of(self, cfg: DictConfig) -> int:
        """CPU threads of a job with `threads=auto`: what its loader workers leave."""
        return max(1, self.cpus_of(cfg) - (cfg.data.get("num_workers") or 0))

    def gpus_of(self, cfg: DictConfig) -> str | int | None:
        """GPUs of each node, None where the job asks for none."""
        if self.gpus_per_node is None and cfg.trainer.accelerator in ("gpu", "cuda"):
            return tasks_per_node(cfg)
        return self.gpus_per_node


def tasks_per_node(cfg: DictConfig) -> int:
    """Ranks of a job on each of its nodes.

    Raises:
        UserError: it is as many as there are GPUs, which nobody knows before the job runs.
    """
    count = processes_of(cfg)
    if count < 1:
        raise UserError(
            f"trainer.devices={cfg.trainer.devices}: hydra/launcher=slurm has to ask for a number "
            "of GPUs per node, as trainer.devices=4"
        )
    return count


def limit_seconds(limit: str) -> float:
    """A time limit as `sbatch` reads it: 90, 90:00, 1:30:00, 2-12, 2-12:30 or 2-12:30:00."""
    found = TIME.fullmatch(limit)
    if found is None:
        return float("inf")  # such as UNLIMITED, or what sbatch will refuse in its own words
    days, *rest = found.groups()
    first, second, third = (int(each) if each else 0 for each in rest)
    if days is not None or rest[2] is not None:
        return 86400 * int(days or 0) + 3600 * first + 60 * second + third
    return 60 * first + second
