"""Ranks that torchrun or srun started: what the environment says, and what must fit to it.

Ranks that Lightning starts itself (`mixlab/rank.py`) and the jobs of a sweep are none of these.
"""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError, counted

TORCHRUN = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
ALL_THERE_ARE = (-1, "-1", "auto")  # as `trainer.devices`
GPUS = ("gpu", "cuda")


@dataclass(frozen=True)
class Launch:
    """This process among those that a launcher started together.

    Attributes:
        rank: in [0, world_size), over all nodes.
        world_size: processes on all nodes together.
        id: differs between launches.
        local_rank: in [0, local_size), on this node.
        local_size: processes on this node.
        node: in [0, number of nodes).
        address: where rank 0 can be reached.
        port: a free one at that address.
        launcher: `torchrun` or `srun`, for sentences.
    """

    rank: int
    world_size: int
    id: str
    local_rank: int = 0
    local_size: int = 1
    node: int = 0
    address: str = "127.0.0.1"
    port: int = 29500
    launcher: str = "torchrun"

    @property
    def is_several(self) -> bool:
        return self.world_size > 1


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """What started this process as one rank of several; None if nothing did.

    A SLURM job is not enough: in a script without srun, or in an interactive shell, there is one
    process, whatever the job has been given.
    """
    if "TORCHELASTIC_RUN_ID" in environ and "RANK" in environ:
        return of_torchrun(environ)
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in environ:
        return of_srun(environ)
    return None


def of_torchrun(environ: Mapping[str, str]) -> Launch:
    """What torchrun says; its run id alone is `none`, unless one was given.

    Its number of restarts is left out: the agents of several nodes count differently.
    """
    address, port = environ["MASTER_ADDR"], int(environ["MASTER_PORT"])
    return Launch(
        rank=int(environ["RANK"]),
        world_size=int(environ["WORLD_SIZE"]),
        id=f"{environ['TORCHELASTIC_RUN_ID']}-{address}-{port}",
        local_rank=int(environ["LOCAL_RANK"]),
        local_size=int(environ["LOCAL_WORLD_SIZE"]),
        node=int(environ.get("GROUP_RANK", "0")),
        address=address,
        port=port,
    )


def of_srun(environ: Mapping[str, str]) -> Launch:
    """What srun says of a step with several tasks."""
    job, step = environ["SLURM_JOB_ID"], environ["SLURM_STEP_ID"]
    node, restart = int(environ["SLURM_NODEID"]), environ.get("SLURM_RESTART_COUNT", "0")
    return Launch(
        rank=int(environ["SLURM_PROCID"]),
        world_size=int(environ["SLURM_STEP_NUM_TASKS"]),
        id=f"{job}.{step}-{restart}",
        local_rank=int(environ["SLURM_LOCALID"]),
        local_size=tasks_of_nodes(environ["SLURM_STEP_TASKS_PER_NODE"])[node],
        node=node,
        address=environ.get("MASTER_ADDR") or first_node(environ["SLURM_STEP_NODELIST"]),
        port=int(environ.get("MASTER_PORT") or 15000 + int(job) % 1000 * 10 + int(step) % 10),
        launcher="srun",
    )


def tasks_of_nodes(words: str) -> list[int]:
    """SLURM's `2(x3),1` is [2, 2, 2, 1]."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", words)
    return [int(tasks) for tasks, times in found for _ in range(int(times or 1))]


def first_node(words: str) -> str:
    """SLURM's `gpu[07-09,11],big1` begins with gpu07."""
    first = re.match(r"([^\[,]+)(?:\[(\w+)[^\]]*\]([^,]*))?", words)
    assert first is not None, words
    return "".join(part or "" for part in first.groups())


def forget_torchrun(environ: MutableMapping[str, str]) -> None:
    """Remove what torchrun said: a process started from here is no rank of that launch."""
    for name in [*environ]:
        if name in TORCHRUN or name.startswith("TORCHELASTIC_"):
            del environ[name]


def check_alone(cfg: DictConfig) -> None:
    """Raise UserError if only a launcher could start what a configuration asks for."""
    if (nodes := OmegaConf.select(cfg, "trainer.num_nodes") or 1) != 1:
        raise UserError(
            f"trainer.num_nodes={nodes} needs processes on each node: start mixlab-train with "
            "torchrun or srun, as docs/many-gpus.md shows"
        )


def check_counts(cfg: DictConfig, launch: Launch) -> None:
    """Raise UserError if the Trainer asks for other ranks than were started."""
    devices, nodes = cfg.trainer.devices, cfg.trainer.num_nodes
    found = launch.world_size // launch.local_size
    asked = launch.local_size if devices in ALL_THERE_ARE else devices_asked(devices)
    if asked == launch.local_size and nodes == found and asked * nodes == launch.world_size:
        return
    started = f"{launch.launcher} started {counted(launch.world_size, 'rank')}"
    if launch.world_size != found * launch.local_size:
        raise UserError(
            f"{started}, {launch.local_size} of them on node {launch.node}; start equally many on "
            "each node"
        )
    fits = {"trainer.devices": (asked, launch.local_size), "trainer.num_nodes": (nodes, found)}
    wrong = [f"{key}={right}" for key, (given, right) in fits.items() if given != right]
    raise UserError(
        f"{started} ({launch.local_size} on each of {counted(found, 'node')}), but "
        f"trainer.devices={devices} and trainer.num_nodes={nodes} ask for others; add "
        f"{' '.join(wrong)}, or start as many as they ask for"
    )


def check_strategy(given: Any) -> None:
    """Raise UserError for a strategy whose checkpoints are not in one file that all can read."""
    name = str(given.get("_target_") if isinstance(given, dict) else given).rpartition(".")[2]
    if any(word in name.lower() for word in ("fsdp", "deepspeed", "modelparallel")):
        raise UserError(
            f"trainer.strategy={name} writes and reads checkpoints in a way of its own; use "
            "trainer=fsdp, which shards the same and writes one file"
        )


def devices_asked(devices: Any) -> int:
    """How many devices on a node `trainer.devices` names: 2, "2", "0,1" and [0, 1] are two."""
    if OmegaConf.is_list(devices) or isinstance(devices, list):
        return len(devices)
    text = str(devices)
    return len([word for word in text.split(",") if word]) if "," in text else int(text)


def check_gpus(cfg: DictConfig, launch: Launch, gpus: int) -> None:
    """Raise UserError if a node has more ranks than GPUs, which two ranks cannot share.

    Args:
        gpus: that this process sees.
    """
    accelerator = str(cfg.trainer.accelerator)
    wanted = accelerator in GPUS or accelerator == "auto" and gpus > 0
    if wanted and launch.local_size > gpus:
        raise UserError(
            f"{launch.launcher} started {counted(launch.local_size, 'rank')} on node "
            f"{launch.node}, where a process sees {counted(gpus, 'GPU')}; start one for each GPU, "
            "let each see all of its node's (in SLURM --gpus-per-node, not --gpus-per-task), or "
            "add trainer.accelerator=cpu"
        )
