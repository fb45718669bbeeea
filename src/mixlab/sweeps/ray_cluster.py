"""A Ray cluster: what is asked of it, joined or started here, and what its nodes can give a job."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError
from mixlab.runtime import available_cores, processes_of

REACH = 3.0  # seconds to reach a cluster's address
STORE = 100 * 2**20  # bytes of a local cluster's object store: tasks pass a few kilobytes
QUIET = {  # before Ray is imported: no telemetry, no advice, no lower priority
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # jobs are what the machine is for
}


@dataclass(frozen=True)
class RaySettings:
    """`hydra.launcher` of `hydra/launcher=ray`.

    Attributes:
        num_cpus: of a job; None for one for each of its processes.
        num_gpus: of a job, 0.5 for two jobs on a GPU; None for one for each process where the
            cluster has GPUs.
        address: None for a cluster of this machine alone, `auto` or `host:port` to join one.
        max_retries: how often a job is started again after its node or its worker died.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    address: str | None = None
    max_retries: int = 3

    def check(self) -> None:
        """Raise UserError for a value that cannot be meant."""
        for name, lowest in (("num_cpus", 0), ("num_gpus", 0), ("max_retries", 0)):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UserError(f"hydra.launcher.{name} must be {lowest} or more, got {value}")
        gpus = self.num_gpus or 0
        if gpus > 1 and gpus != int(gpus):
            raise UserError(
                f"hydra.launcher.num_gpus must be a whole number or a share below 1, got {gpus}"
            )
        if self.address not in (None, "auto") and not host_and_port(str(self.address)):
            raise UserError(
                "hydra.launcher.address must be auto, host:port of a Ray cluster, or null to start "
                f"one here, got {self.address}"
            )


def host_and_port(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host and "/" not in host and port.isdecimal() else None


def import_ray() -> Any:
    """Ray, told to be quiet."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UserError(
            "hydra/launcher=ray needs ray, which is not installed; pip install 'mixlab[ray]'"
        ) from None
    return ray


@contextmanager
def ray_cluster(settings: RaySettings) -> Iterator[Any]:
    """Within, Ray is connected. A cluster that was started here ends with it.

    Raises:
        UserError: there is none at the address.
    """
    ray = import_ray()
    os.environ.setdefault("RAY_task_oom_retries", str(settings.max_retries))
    options: dict[str, Any] = {
        "log_to_driver": False, "logging_level": logging.CRITICAL, "include_dashboard": False,
        "num_cpus": available_cores(), "object_store_memory": STORE,
    }  # fmt: skip
    if settings.address is not None:
        check_reachable(settings.address)
        options = {key: options[key] for key in ("log_to_driver", "logging_level")}
    try:
        ray.init(address=settings.address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{unreachable(settings.address)} ({why})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Raise UserError if nothing listens at an address; Ray itself would try for a minute."""
    if found := host_and_port(address):
        try:
            socket.create_connection(found, REACH).close()
        except OSError:
            raise UserError(unreachable(address)) from None


def unreachable(address: str | None) -> str:
    return (
        f"there is no Ray cluster at hydra.launcher.address={address}; start one with ray start "
        "--head, or leave the address out to start one on this machine alone"
    )


def resources(cfg: DictConfig, settings: RaySettings, nodes: Sequence[Any]) -> dict[str, float]:
    """CPUs and GPUs of a job.

    Raises:
        UserError: no node has that many, so it would wait for ever.
    """
    processes = max(1, processes_of(cfg))
    most = {
        name: max((node["Resources"].get(name, 0) for node in nodes if node["Alive"]), default=0)
        for name in ("CPU", "GPU")
    }
    gpus = settings.num_gpus
    if gpus is None:
        gpus = processes if most["GPU"] and cfg.trainer.accelerator != "cpu" else 0
    cpus = processes if settings.num_cpus is None else settings.num_cpus
    for key, name, wanted in (("num_cpus", "CPU", cpus), ("num_gpus", "GPU", gpus)):
        if wanted > most[name]:
            raise UserError(
                f"a job needs hydra.launcher.{key}={wanted:g}, but no node of the Ray cluster has "
                f"more than {most[name]:g} {name}s; give less, or add a larger node"
            )
    return {"num_cpus": cpus, "num_gpus": gpus}
