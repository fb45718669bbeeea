"""What a SLURM job of a sweep runs: the ranks of one run with srun, and what becomes of them.

python -m mixlab.sweeps.slurm.job JOBS.json         in the job's script, once
python -m mixlab.sweeps.slurm.job JOBS.json rank    by srun, once for each rank
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.locks import is_running
from mixlab.runs.status import Status, status_of
from mixlab.sweeps.progress import record_exit
from mixlab.sweeps.slurm.queue import queued, slurm, state_of
from mixlab.sweeps.slurm.submission import Submission
from mixlab.sweeps.worker import JobSpec, train_in

LEASE = 150.0  # seconds after which a file server frees the lock of a node that is gone
STOPPED = 128 + signal.SIGTERM  # the exit status of a run that has saved and stopped


def main() -> None:
    """Train the run of this job's place in the array."""
    path = Path(sys.argv[1])
    submission = Submission.read(path)
    spec = submission.specs[int(os.environ["SLURM_ARRAY_TASK_ID"])]
    if sys.argv[2:] == ["rank"]:
        rank = int(os.environ["SLURM_PROCID"])
        train_in(spec, log="log.txt" if rank == 0 else f"log-rank{rank}.txt")
    else:
        sys.exit(supervise(spec, [str(path), "rank"], submission.max_requeues))


def supervise(spec: JobSpec, words: list[str], max_requeues: int) -> int:
    """Start the ranks, wait for their end and record it; the job's exit status.

    If SLURM stopped them before they were done, the job goes back into the queue.
    """
    signal.signal(signal.SIGTERM, lambda *_: None)  # the ranks get it, too, and save
    if other := earlier_job(spec.folder):
        print(f"{other} trains {spec.folder}", flush=True)
        return 0
    wait_for_lock(spec.folder)
    program = [sys.executable, "-m", "mixlab.sweeps.slurm.job", *words]
    code = subprocess.call([*srun(), *program])
    record = record_exit(spec.folder, code if code < 128 else 128 - code)
    if code == STOPPED or status_of(record) is Status.INTERRUPTED:
        requeue(spec.folder, max_requeues)
    return code


def srun() -> list[str]:
    """Ranks as the job asked for them; the death of one ends the others."""
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "1")  # srun does not take it from the job
    return ["srun", "--kill-on-bad-exit=1", f"--cpus-per-task={cpus}"]


def job_name() -> str:
    """This job as SLURM's commands take it."""
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def earlier_job(folder: Path) -> str | None:
    """The job that was submitted before this one for the same run, and has not ended.

    The queue has one order for all nodes, where locks of files may not reach from one to another.
    """
    own = int(os.environ["SLURM_ARRAY_JOB_ID"])
    try:
        jobs = [job for job in queued() if job.folder == folder and job.array < own]
    except UserError as error:  # the lock of the folder is left
        print(f"no look at the queue: {error}", flush=True)
        return None
    return f"job {jobs[0].name}" if jobs else None


def wait_for_lock(folder: Path) -> None:
    """Wait while a node that is gone holds the run's lock."""
    end = time.monotonic() + LEASE
    while is_running(folder) and time.monotonic() < end:
        time.sleep(1)


def requeue(folder: Path, most: int) -> None:
    """Put this job back into the queue, if SLURM stopped it and no person did."""
    if state_of(job_name()) != "RUNNING":  # canceled, or SLURM requeues it by itself
        return
    times = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if times >= most:
        amend(folder, f"requeued {times} times already (hydra.launcher.max_requeues)")
        return
    print(f"stopped before its end, requeued ({times + 1} of {most})", flush=True)
    try:
        slurm("scontrol", "requeue", job_name())
    except UserError as error:
        amend(folder, f"not requeued: {error}")


def amend(folder: Path, why: str) -> None:
    """Add to a run's error why it does not go on by itself."""
    record = read_json(folder / "run.json")
    write_json(folder / "run.json", {**record, "error": f"{record.get('error')}; {why}"})


if __name__ == "__main__":
    main()
