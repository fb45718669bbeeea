"""What sbatch is asked for, what the queue says, and what SLURM answers when it refuses.

Against a real SLURM: tests/slurm.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.small_runs import composed
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.status import Status
from mixlab.sweeps.grid import Job
from mixlab.sweeps.slurm import job as slurm_job
from mixlab.sweeps.slurm import queue
from mixlab.sweeps.slurm.follow import settle
from mixlab.sweeps.slurm.options import SlurmOptions, limit_seconds
from mixlab.sweeps.slurm.queue import by_folder, own_words
from mixlab.sweeps.slurm.submission import Submission, new_folder
from mixlab.sweeps.slurm.submit import arrays
from mixlab.sweeps.worker import JobSpec


def test_what_a_job_asks_for() -> None:
    """By the configuration, and by the launcher's keys where they are given."""
    ddp = composed("trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2", "data.num_workers=3")
    words = SlurmOptions(partition="gpu", sbatch={"mail_type": "FAIL"}).words(ddp)
    assert words == [
        "--partition=gpu", "--nodes=2", "--ntasks-per-node=4", "--cpus-per-task=4",
        "--gpus-per-node=4", "--signal=TERM@120", "--mail-type=FAIL",
    ]  # fmt: skip
    given = SlurmOptions(cpus_per_task=7, gpus_per_node="a100:1").words(composed("trainer=cpu"))
    assert {"--cpus-per-task=7", "--gpus-per-node=a100:1", "--ntasks-per-node=1"} <= {*given}
    assert not any("gpus" in word for word in SlurmOptions().words(composed("trainer=cpu")))
    auto = composed("threads=auto", "data.num_workers=3")
    assert SlurmOptions(cpus_per_task=7).threads_of(auto) == 4
    assert SlurmOptions().threads_of(auto) == 1


WRONG = {
    "at_once": ({"at_once": 0}, "hydra.launcher.at_once must be 1 or more, got 0"),
    "poll": ({"poll_seconds": 0}, "hydra.launcher.poll_seconds must be above 0, got 0"),
    "setup": ({"setup": ["rm x"]}, "hydra.launcher.setup is run by a shell, so a file may not"),
    "sbatch": ({"sbatch": {"mail-type": "END"}}, "hydra.launcher.sbatch is run by a shell"),
    "time": ({"time": "2"}, "time=2 is no longer than hydra.launcher.signal_before=120 seconds"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_key_that_cannot_be(name: str) -> None:
    options, sentence = WRONG[name]
    with pytest.raises(UserError, match=sentence):
        SlurmOptions(**options).check(given=["hydra/launcher=slurm"])


def test_what_only_the_command_line_may_give() -> None:
    SlurmOptions(setup=["module load x"]).check(["hydra.launcher.setup=[module load x]"])
    with pytest.raises(UserError, match="hydra.launcher.sbatch.array is set by the launcher"):
        SlurmOptions(sbatch={"array": "0-9"}).check(["hydra.launcher.sbatch={array:0-9}"])
    with pytest.raises(UserError, match="as trainer.devices=4"):
        SlurmOptions().words(composed("trainer=ddp"))


TIMES = {"90": 5400, "90:30": 5430, "1:30:00": 5400, "2-12": 216000, "2-12:30:05": 217805}


@pytest.mark.parametrize("limit", TIMES)
def test_time_limits_as_sbatch_reads_them(limit: str) -> None:
    assert limit_seconds(limit) == TIMES[limit]


def jobs_of(folder: Path, *arms: str, seeds: int = 2) -> list[Job]:
    return [
        Job(
            [arm], composed(*arm.split()), {"seed": seed}, folder / str(number) / f"seed-{seed}", {}
        )
        for seed in range(seeds)
        for number, arm in enumerate(arms)
    ]


def test_jobs_that_ask_for_the_same_are_one_array(tmp_path: Path, monkeypatch: Any) -> None:
    jobs = jobs_of(tmp_path, "trainer=cpu", "trainer=ddp_sim", "trainer=cpu mixing=none", seeds=3)
    monkeypatch.setattr("mixlab.sweeps.slurm.submit.ARRAY_SIZE", 4)
    found = [
        [str(job.folder.relative_to(tmp_path)) for job in x] for x in arrays(jobs, SlurmOptions())
    ]
    assert found == [
        ["0/seed-0", "2/seed-0", "0/seed-1", "2/seed-1"],
        ["0/seed-2", "2/seed-2"],
        ["1/seed-0", "1/seed-1", "1/seed-2"],
    ]


def test_a_submission_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = new_folder(tmp_path), new_folder(tmp_path)
    assert (first.name, second.name) == ("1", "2")
    specs = [JobSpec("a: 1\n", tmp_path / str(n), {"seed": n, "retry": ["failed"]}) for n in (0, 1)]
    script = Submission(specs, max_requeues=3).write(first, ["module load cuda"])
    assert script.read_text().splitlines()[:2] == ["#!/bin/bash", "module load cuda"]
    assert Submission.read(first / "jobs.json") == Submission(specs, max_requeues=3)


def test_the_first_job_of_a_run_trains_it(tmp_path: Path, monkeypatch: Any) -> None:
    """Also where two nodes do not see each other's locks."""
    specs = [JobSpec("", tmp_path / str(number)) for number in (0, 1)]
    lines = []
    for array in (7, 30):
        script = Submission(specs, 3).write(new_folder(tmp_path), [])
        lines += [f"{array}|{index}|RUNNING|None|{script}" for index in (0, 1)]
    lines += ["31|0|RUNNING|None|/elsewhere/job.sh", "32|N/A|PENDING|Priority|(null)"]
    monkeypatch.setattr(queue, "slurm", lambda *_: "\n".join(reversed(lines)))
    found = by_folder(queue.queued())
    assert {folder.name: job.name for folder, job in found.items()} == {"0": "7_0", "1": "7_1"}
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "30")
    assert slurm_job.earlier_job(tmp_path / "1") == "job 7_1"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    assert slurm_job.earlier_job(tmp_path / "1") is None


def test_own_words() -> None:
    text = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job failed\n"
    assert own_words(text) == "invalid partition specified: x; Batch job failed"
    assert own_words("sbatch: fatal: No\nsbatch: fatal: No\n") == "No"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: Any) -> Callable[[str, str], None]:
    """Writes a program that is found before all others."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def write(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


ENDINGS = {
    "echo JobId=1 JobState=NODE_FAIL NodeList=n2": (Status.INTERRUPTED, "NODE_FAIL on n2"),
    "echo JobId=1 JobState=OUT_OF_MEMORY NodeList=n1": (Status.FAILED, "OUT_OF_MEMORY on n1"),
    "exit 1": (Status.INTERRUPTED, "CANCELLED on n3"),  # then the accounting is asked
}


@pytest.mark.parametrize("script", ENDINGS)
def test_a_job_that_is_gone_without_a_record(
    tmp_path: Path, program: Callable, script: str
) -> None:
    status, reason = ENDINGS[script]
    program("scontrol", script)
    program("sacct", "echo 'CANCELLED by 0|n3'")
    write_json(tmp_path / "run.json", {"status": "running", "seconds": 1.0})
    settle(tmp_path, "7_1")
    record = read_json(tmp_path / "run.json")
    assert (record["status"], record["error"]) == (status, f"job 7_1 of SLURM ended: {reason}")
    settle(tmp_path, "8_0")
    assert read_json(tmp_path / "run.json") == record


@pytest.mark.parametrize("times, said", {"2": "requeue 7_1", "3": ""}.items())
def test_a_job_is_requeued_so_often(
    tmp_path: Path, program: Callable, monkeypatch: Any, times: str, said: str
) -> None:
    program("scontrol", f"""[ $1 = requeue ] && echo "$*" >{tmp_path}/asked
        echo JobState=RUNNING NodeList=n1""")  # fmt: skip
    for name, value in {"ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "1", "RESTART_COUNT": times}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    write_json(tmp_path / "run.json", {"status": "interrupted", "error": "stopped by SIGTERM"})
    slurm_job.requeue(tmp_path, most=3)
    asked = tmp_path / "asked"
    assert (asked.read_text().strip() if asked.exists() else "") == said
    error = read_json(tmp_path / "run.json")["error"]
    assert ("requeued 3 times already (hydra.launcher.max_requeues)" in error) == (not said)


def test_a_canceled_job_is_not_requeued(
    tmp_path: Path, program: Callable, monkeypatch: Any
) -> None:
    program("scontrol", f"echo $1 >>{tmp_path}/asked; echo JobState=COMPLETING NodeList=n1")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    slurm_job.requeue(tmp_path, most=3)
    assert (tmp_path / "asked").read_text() == "--oneliner\n"


def test_where_there_is_no_slurm(here: Path, command: Callable, monkeypatch: Any) -> None:
    """One sentence before any run is planned."""
    monkeypatch.setenv("PATH", str(here))
    said = command("train", "-m", "hydra/launcher=slurm", "seeds=2")
    assert said.status == 2 and "needs sbatch, which is not on the PATH" in said.sentence
    assert not (here / "logs").exists()
