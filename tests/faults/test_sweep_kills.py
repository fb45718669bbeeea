"""Processes of a sweep that are killed: jobs, the launcher, and the one that forks the jobs."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from faults.conftest import Injected
from helpers.commands import RETRY, WORDS, Command, make_lab, parent, until
from helpers.nothing_lost import epochs_begun, nothing_lost, repeated, unequal
from helpers.random_kills import Storm
from mixlab.runs.atomic import read_json

SWEEP = Path("logs", "sweeps", "train")
EPOCHS = 20
STORM = (
    *WORDS, "-m", "mixing=none,mixup,cutmix", "seeds=4", f"trainer.max_epochs={EPOCHS}",
    "trainer.limit_train_batches=1.0",
)  # fmt: skip
pytestmark = pytest.mark.timeout(900)


def test_random_kills(tmp_path: Path, injected: Injected) -> None:
    """The time is held to generously: other programs may run on the machine."""
    whole, storm_folder = (tmp_path / name for name in ("whole", "storm"))
    for folder in (whole, storm_folder):
        folder.mkdir()
        make_lab(folder)
    began = time.monotonic()
    with Command(whole, *STORM) as command:
        assert command.wait(600) == 0, command.said
    untouched = time.monotonic() - began
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the kills: {seed}")
    storm = Storm(20, launchers=3, pause=untouched / 45, rng=random.Random(seed))
    seconds = storm.rage(storm_folder, *STORM, *RETRY)
    print(f"{storm.commands} commands, {seconds:.0f} s against {untouched:.0f} s")
    assert storm.hit == 20 and storm.launchers_hit == 3
    records = nothing_lost(storm_folder / SWEEP, planned=12)
    assert {record["status"] for record in records.values()} == {"finished"}
    for run in records:
        assert unequal(whole / run.relative_to(storm_folder), run) == []
        assert sorted(set(epochs_begun(run))) == list(range(EPOCHS))
    again = sum(map(repeated, records))
    assert again <= storm.jobs_hit + 2 * storm.launchers_hit, "an epoch for each job killed"
    assert seconds < 4 * untouched + 60
    injected(
        "SIGKILL at a random moment of a sweep of 12 (17 to jobs, 3 to the launcher)",
        storm.hit,
        "nothing lost; weights, metrics and results bit-identical; at most the epoch that was "
        "cut is repeated",
    )


REASONS = {
    "_exit": "the process ended with status 7; see log.txt",
    "exit": "SystemExit(0)",
    "segmentation fault": "the process was killed by SIGSEGV",
    "abort": "the process was killed by SIGABRT",
    "out of memory": "the process was killed by SIGKILL (out of memory?)",
}


def test_hard_deaths(tmp_path: Path, injected: Injected) -> None:
    make_lab(tmp_path)
    for seed, fault in enumerate(REASONS):
        (tmp_path / "faults" / f"seed-{seed}").write_text(fault)
    words = (*WORDS, "-m", f"seeds={len(REASONS) + 2}")
    with Command(tmp_path, *words) as command:
        assert command.wait() == 1, command.said
        said = command.said
    records = list(nothing_lost(tmp_path / SWEEP, planned=len(REASONS) + 2).items())
    assert [record["status"] for _, record in records[-2:]] == ["finished"] * 2
    for (run, record), reason in zip(records, REASONS.values(), strict=False):
        assert reason in record["error"] and record["status"] != "finished"
        assert re.search(rf"{record['status']}: \S*{run.name}: .*{re.escape(reason)}", said)
    assert f"2 of {len(REASONS) + 2} runs finished" in said
    log = (records[2][0] / "log.txt").read_text()
    assert "Fatal Python error: Segmentation fault" in log and "mylab.py" in log
    for seed, fault in enumerate(REASONS):
        (tmp_path / "faults" / f"seed-{seed}").unlink()
        injected(
            f"{fault} in a job",
            1,
            "recorded with its reason, the other jobs finish, status 1",
        )


def test_the_fork_server_is_killed(tmp_path: Path, injected: Injected) -> None:
    words = (*WORDS, "-m", "seeds=3", "hydra.launcher.jobs=2", "trainer.max_epochs=40")
    with Command(make_lab(tmp_path), *words) as command:
        assert until(lambda: len(list(tmp_path.rglob("last.ckpt"))) == 2), command.said
        server, jobs = command.server(), command.jobs()
        assert {parent(job) for job in jobs} == {server}
        os.kill(server, signal.SIGKILL)
        assert command.wait() == 0, command.said
        assert not command.left() and "was killed: there is a new one" in command.said
    records = nothing_lost(tmp_path / SWEEP, planned=3)
    assert {record["status"] for record in records.values()} == {"finished"}
    assert sum(map(repeated, records)) <= 2
    injected(
        "SIGKILL to the process that forks the jobs",
        1,
        "there is a new one; running jobs go on from their checkpoints; status 0; no orphan",
    )


def test_the_launcher_is_killed(tmp_path: Path, injected: Injected) -> None:
    """With jobs that have loader workers of their own."""
    words = (
        *WORDS, "-m", "seeds=2", "hydra.launcher.jobs=2", "trainer.max_epochs=10000",
        "augmentation=randaugment", "augmentation.force=true", "data.num_workers=1",
    )  # fmt: skip
    with Command(make_lab(tmp_path), *words) as command:
        assert until(lambda: len(list(tmp_path.rglob("last.ckpt"))) == 2), command.said
        jobs = command.jobs()
        workers = [pid for pid in command.alive() if parent(pid) in jobs]
        assert len(jobs) == 2 and len(workers) >= 2
        command.process.kill()
        assert until(lambda: not {*jobs, *workers} & {*command.alive()}, 10)
        assert not command.left()
    records = [read_json(path) for path in tmp_path.rglob("run.json")]
    assert [record["status"] for record in records] == ["running"] * 2
    injected(
        "SIGKILL to the launcher of a sweep",
        1,
        "jobs and their loader workers end within 10 s; no orphan trains on",
    )
