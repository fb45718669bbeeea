"""Follow the jobs of a sweep to their end: what their folders say, and what the queue says.

The launcher owns nothing. When it ends, for whatever reason, the jobs go on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.folder import now
from mixlab.runs.locks import is_running, seconds_with
from mixlab.runs.status import UNSETTLED, Status, run_name, status_of, transition
from mixlab.signals import Stop, stopping
from mixlab.sweeps.grid import Job
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.slurm.options import SlurmOptions
from mixlab.sweeps.slurm.queue import NoAnswer, QueuedJob, by_folder, ending_of, queued
from mixlab.sweeps.slurm.submit import submit_missing
from mixlab.sweeps.worker import JobSpec

OVER = (Status.FINISHED, Status.FAILED, Status.DIVERGED)
LOOKS = 2  # at the queue without a job, before it counts as gone: a file may be seen late
SILENCE = 3600.0  # seconds without an answer from SLURM, before the launcher gives up
USUAL = (
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "JobArrayTaskLimit",
    "BeginTime",
    "Cleaning",
)
AT_FAULT = ("FAILED", "OUT_OF_MEMORY", "DEADLINE")  # not what SLURM did to the job


def train_on_cluster(jobs: Sequence[Job], options: SlurmOptions, sweep: Path) -> None:
    """Train each job as a job of SLURM, and return when all have ended.

    Raises:
        KeyboardInterrupt: asked to stop; the jobs go on.
        NoAnswer: SLURM was silent for an hour; the jobs go on.
    """
    if not jobs:
        return
    progress = Progress(len(jobs))
    before = {job.folder: read_json(job.folder / "run.json") for job in jobs}
    specs = {job.folder: JobSpec("", job.folder) for job in jobs}  # for the progress alone
    with progress.shown(), stopping() as stop:
        names = submit_missing(jobs, options, sweep, progress)
        Follower(specs, names, before, progress).follow(stop, options.poll_seconds)


@dataclass
class Follower:
    """The jobs that have not ended.

    Attributes:
        names: of each run's job.
        before: the record of each run before its job began.
        missed: how often in a row a run had no job in the queue.
        running: runs whose job has begun.
        said: what was said already of jobs that wait.
    """

    specs: dict[Path, JobSpec]
    names: dict[Path, str]
    before: dict[Path, dict[str, Any]]
    progress: Progress
    missed: dict[Path, int] = field(default_factory=dict)
    running: set[Path] = field(default_factory=set)
    said: set[str] = field(default_factory=set)

    def follow(self, stop: Stop, every: float) -> None:
        """Look every so many seconds until all jobs have ended."""
        answered = time.monotonic()
        while self.specs:
            try:
                self.look(by_folder(queued()))
                answered = time.monotonic()
            except NoAnswer as error:
                self.say_once(f"{error}; waiting for it, the jobs go on")
                if time.monotonic() - answered > SILENCE:
                    raise
            if stop.asked or (self.specs and wait([stop.reader], every)):
                self.leave()
                raise KeyboardInterrupt

    def leave(self) -> None:
        """Say that the jobs go on."""
        arrays = " ".join(sorted({name.partition("_")[0] for name in self.names.values()}))
        self.progress.say(
            "the jobs go on without this command: the same command follows them again, "
            f"scancel {arrays} ends them"
        )

    def look(self, queue: dict[Path, QueuedJob]) -> None:
        """Handle what has happened to each job since the last look."""
        for folder, spec in [*self.specs.items()]:
            job = queue.get(folder)
            self.missed[folder] = 0 if job else self.missed.get(folder, 0) + 1
            if job is not None:
                self.names[folder] = job.name
                self.tell(job, spec)
            if self.is_over(folder, job):
                del self.specs[folder]
                settle(folder, self.names.get(folder, "unknown"))
                self.progress.done(spec, 0)

    def is_over(self, folder: Path, job: QueuedJob | None) -> bool:
        """Whether a run has ended; one that was interrupted and waits again has not."""
        if self.missed[folder] >= LOOKS:
            return True
        if job is not None and job.state == "PENDING":
            return False
        record = read_json(folder / "run.json")
        return status_of(record) in OVER and record != self.before[folder]

    def tell(self, job: QueuedJob, spec: JobSpec) -> None:
        """Show a job that has begun, waits again, or waits for what may never come."""
        folder = job.folder
        if job.state == "RUNNING" and folder not in self.running:
            self.running.add(folder)
            self.progress.begun(spec)
        if job.state == "PENDING" and folder in self.running:
            self.running.remove(folder)
            self.progress.running.pop(folder, None)
            why = read_json(folder / "run.json").get("error") or "its node is gone"
            self.progress.say(f"{run_name(folder)}: requeued as job {job.name}: {why}")
        elif job.state == "PENDING" and job.reason not in USUAL:
            self.say_once(f"job {job.name} waits: {job.reason}")

    def say_once(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self.progress.say(line)


def settle(folder: Path, name: str) -> None:
    """Complete the record of a run whose job could not, with what SLURM says of the job."""
    record = read_json(folder / "run.json")
    if status_of(record) not in UNSETTLED or is_running(folder):
        return
    ending = ending_of(name)
    facts: dict[str, Any] = {"error": f"job {name} of SLURM ended: {ending or 'no reason given'}"}
    if status_of(record) is Status.RUNNING:
        facts["seconds"] = seconds_with(folder, record)
    fault = ending is not None and ending.state in AT_FAULT
    status = Status.FAILED if fault else Status.INTERRUPTED
    write_json(folder / "run.json", transition(record, status, ended=now(), **facts))
