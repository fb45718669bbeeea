"""Submit job arrays for the runs that no job trains yet."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mixlab.errors import counted
from mixlab.runs.records import shown_path
from mixlab.sweeps.grid import Job
from mixlab.sweeps.launch import job_specs
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.slurm.options import SlurmOptions
from mixlab.sweeps.slurm.queue import by_folder, queued, slurm
from mixlab.sweeps.slurm.submission import Submission, new_folder

ARRAY_SIZE = 1000  # jobs of an array, which SLURM limits to 1000 unless a cluster allows more


def submit_missing(
    jobs: Sequence[Job], options: SlurmOptions, sweep: Path, progress: Progress
) -> dict[Path, str]:
    """Submit what is neither waiting nor running.

    Returns:
        The name of each run's job, as `12_3`.
    """
    with one_submits(sweep):
        queue = by_folder(queued())
        found = {job.folder: queue[job.folder] for job in jobs if job.folder in queue}
        names = {folder: job.name for folder, job in found.items()}
        if found:
            progress.say(f"{counted(len(found), 'job')} in the queue already, followed from here")
        before = sorted({job.array for job in found.values()})
        for array in arrays([job for job in jobs if job.folder not in found], options):
            number = submit(array, options, sweep, before if options.at_once else [])
            before.append(number)
            names |= {job.folder: f"{number}_{index}" for index, job in enumerate(array)}
            progress.say(
                f"submitted {counted(len(array), 'job')} as array {number}, "
                f"in {shown_path(sweep / 'slurm')}"
            )
    return names


@contextmanager
def one_submits(sweep: Path) -> Iterator[None]:
    """Within, no other launcher on this machine looks at the queue and submits."""
    with open(sweep / ".submitting", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def arrays(jobs: Sequence[Job], options: SlurmOptions) -> list[list[Job]]:
    """Jobs that ask for the same, in their order."""
    words: dict[Path, tuple[str, ...]] = {}  # of each arm
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.folder.parent not in words:
            words[job.folder.parent] = tuple(options.words(job.arm))
        groups.setdefault(words[job.folder.parent], []).append(job)
    return [
        group[start : start + ARRAY_SIZE]
        for group in groups.values()
        for start in range(0, len(group), ARRAY_SIZE)
    ]


def submit(jobs: list[Job], options: SlurmOptions, sweep: Path, before: list[int]) -> int:
    """Submit an array; its number.

    Args:
        before: arrays that have to end first, or more than `at_once` jobs would run.
    """
    arm = jobs[0].arm
    folder = new_folder(sweep)
    specs = job_specs(jobs, options.threads_of(arm))
    script = Submission(specs, options.max_requeues).write(folder, options.setup)
    throttle = f"%{options.at_once}" if options.at_once else ""
    words = [
        f"--job-name=mixlab-{sweep.name}",
        f"--array=0-{len(jobs) - 1}{throttle}",
        f"--output={folder}/%a.out",
        "--open-mode=append",
        "--requeue",  # when a node is lost, or a job of higher priority needs it
        *options.words(arm),
    ]
    if before:
        words.append(f"--dependency=afterany:{':'.join(map(str, before))}")
    return int(slurm("sbatch", "--parsable", *words, str(script)).split(";")[0])
