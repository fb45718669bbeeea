"""Jobs of a sweep as tasks of a Ray cluster, this machine's or one of many nodes.

Ray decides where and when; what becomes of a run is read from its folder, on a file system that all
nodes share. Each task starts a process of its own for its run, so a crash there is not Ray's.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlab.runs.atomic import read_json
from mixlab.runs.locks import is_running
from mixlab.runs.status import Status, status_of
from mixlab.runtime import processes_of
from mixlab.signals import Stop, stopping
from mixlab.sweeps.grid import Job
from mixlab.sweeps.launch import job_specs
from mixlab.sweeps.pool import GRACE
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.ray_cluster import RaySettings, ray_cluster, resources
from mixlab.sweeps.ray_task import train_remotely
from mixlab.sweeps.worker import JobSpec


def launch_on_ray(jobs: Sequence[Job], settings: RaySettings) -> None:
    """Train each job in a task of its own.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all jobs have saved and ended.
    """
    if not jobs:
        return
    with ray_cluster(settings) as ray, stopping() as stop:
        cfg = jobs[0].arm
        needed = resources(cfg, settings, ray.nodes())
        threads = max(1, int(needed["num_cpus"]) // max(1, processes_of(cfg)))
        task = ray.remote(**needed, max_retries=settings.max_retries)(train_remotely)
        specs = job_specs(jobs, threads)
        here = os.getcwd(), os.environ.get("PYTHONPATH")
        progress = Progress(len(specs))
        with progress.shown():
            tasks = Tasks(ray, progress, stop, {task.remote(spec, *here): spec for spec in specs})
            try:
                tasks.run()
            except KeyboardInterrupt:
                progress.say("ending at once")
                tasks.cancel(force=True)
            tasks.let_end()
            if stop.asked:
                progress.say("stopped; the same command resumes each run")
    if stop.asked:
        raise KeyboardInterrupt


@dataclass
class Tasks:
    """The tasks that have not ended, by Ray's references to their results."""

    ray: Any
    progress: Progress
    stop: Stop
    pending: dict[Any, JobSpec]
    stopped: list[JobSpec] = field(default_factory=list)  # with the sweep, maybe not ended yet

    def run(self) -> None:
        """Collect results until none is missing; cancel what is left when asked to stop."""
        asked = False
        while self.pending:
            if self.stop.asked and not asked:
                asked = True
                self.progress.say(
                    "stopping: each job saves a checkpoint (Ctrl-C again to end them at once)"
                )
                self.cancel()
            ready, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=0.5)
            for ref in ready:
                self.collect(ref, self.pending.pop(ref))

    def cancel(self, force: bool = False) -> None:
        """End the tasks: a running one asks its process to save and stop, or is killed."""
        for ref in self.pending:
            self.ray.cancel(ref, force=force)

    def collect(self, ref: Any, spec: JobSpec) -> None:
        """Record how a task ended if its run could not."""
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        try:
            self.progress.done(spec, self.ray.get(ref), self.stop.asked)
        except TaskCancelledError:
            self.stopped.append(spec)
        except RayTaskError as error:  # not the run's error: it has a process of its own
            self.progress.say(f"Ray: {str(error).strip().splitlines()[-1]}")
            self.progress.done(spec, 1, self.stop.asked)
        except RayError:  # its worker or its node died, and so often that Ray gave up
            self.progress.done(spec, -signal.SIGKILL, self.stop.asked)

    def let_end(self) -> None:
        """Wait until the stopped jobs have saved, and record them; one not begun stays planned."""
        deadline = time.monotonic() + GRACE
        for spec in [*self.stopped, *self.pending.values()]:
            while is_running(spec.folder) and time.monotonic() < deadline:
                time.sleep(0.1)
            if status_of(read_json(spec.folder / "run.json")) not in (None, Status.PLANNED):
                self.progress.done(spec, -signal.SIGTERM, True)
