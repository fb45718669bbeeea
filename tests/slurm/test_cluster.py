"""Sweeps on a real SLURM, and what becomes of them when jobs, nodes and launchers go away."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.commands import Command, is_marked, parent, pids, send, until, words_of
from helpers.nothing_lost import epochs_begun, nothing_lost, unequal
from helpers.small_runs import SMALL, write_lab

MYLAB = '''
import os, time
from pathlib import Path
import pytorch_lightning as pl

class Slow(pl.Callback):
    """Writes down each epoch and its node. After the first, a batch takes up to HOLD seconds, while
    the file `hold` is there."""

    def on_train_epoch_start(self, trainer, module):
        folder = Path(trainer.default_root_dir)
        with open(folder / f"epochs-{trainer.global_rank}.txt", "a") as file:
            print(trainer.current_epoch, file=file)
        with open("nodes.txt", "a") as file:
            print(os.environ.get("SLURMD_NODENAME"), trainer.world_size, file=file)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        end = time.monotonic() + float(os.environ["HOLD"])
        while trainer.current_epoch and Path("hold").exists() and time.monotonic() < end:
            time.sleep(0.1)
'''
CALLBACKS = "defaults: [default]\nslow:\n  _target_: mylab.Slow\n"
SWEEP = Path("logs", "sweeps", "train")
WORDS = ("--config-dir=conf", "-m", "callbacks=slow", "allow=[mylab]", *SMALL, "logger=csv")
ON_SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll_seconds=1")
Slurm = Callable[..., str]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLD", "2")
    folder = tmp_path / "cluster"
    folder.mkdir()
    return write_lab(folder, MYLAB, CALLBACKS, "slow")


def jobs(slurm: Slurm) -> dict[str, str]:
    """The state of each job in the queue, by its name."""
    lines = slurm("squeue", "--array", "--noheader", "--format=%i %T").splitlines()
    return dict(line.split() for line in lines)


def is_empty(slurm: Slurm) -> bool:
    """Whether no job is left in the queue, where one that has ended may stay for a moment."""
    return until(lambda: not jobs(slurm), 60)


def begun(folder: Path) -> list[Path]:
    """Runs that have a checkpoint."""
    return sorted(path.parents[1] for path in folder.rglob("last.ckpt"))


def test_a_sweep_with_several_launchers(
    lab: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sweep submitted twice at once; one of the two killed, and its command given again.

    No run is trained twice.
    """
    monkeypatch.setenv("HOLD", "600")
    (lab / "hold").touch()
    size = ("mixing=none,mixup,cutmix", "seeds=2", "trainer.limit_train_batches=20")
    words = (*WORDS, *ON_SLURM, *size, "hydra.launcher.at_once=4")
    with Command(lab, *words) as killed, Command(lab, *words) as other:
        assert until(lambda: len(begun(lab)) == 4), killed.said + other.said
        assert sorted(jobs(slurm).values()) == ["PENDING"] * 2 + ["RUNNING"] * 4
        killed.process.kill()
        killed.process.wait()
        with Command(lab, *words) as again:
            assert until(lambda: "6 jobs in the queue already" in again.said), again.said
            (lab / "hold").unlink()
            assert again.wait() == 0, again.said
            assert other.wait() == 0, other.said
        said = [killed.said, other.said, again.said]
    assert sum("submitted 6 jobs as array" in text for text in said) == 1
    for text in said[1:]:
        assert "6 of 6 runs finished" in text and "[6/6]" in text
    records = nothing_lost(lab / SWEEP, planned=6)
    assert {record["status"] for record in records.values()} == {"finished"}
    assert all(epochs_begun(run) == [0, 1] for run in records)
    nodes = {line.split()[0] for line in (lab / "nodes.txt").read_text().splitlines()}
    assert nodes == {"n1", "n2"} and is_empty(slurm)


def test_whatever_ends_a_job_its_run_goes_on_exactly(lab: Path, slurm: Slurm) -> None:
    """An array is canceled and its command given again; then a job is displaced by one of higher
    priority, one reaches its time limit, and one loses its node. Weights, metrics and results are
    those of a sweep on this machine that nothing disturbs."""
    whole = lab.with_name("whole")
    whole.mkdir()
    write_lab(whole, MYLAB, CALLBACKS, "slow")
    size = (
        "seeds=3", "trainer.max_epochs=6", "trainer.limit_train_batches=20", "logger=default",
        "augmentation=randaugment", "augmentation.force=true", "data.num_workers=1",
    )  # fmt: skip
    undisturbed = Command(whole, *WORDS, *size, "hydra.launcher.jobs=1")
    (lab / "hold").touch()
    # With a limit below an hour, a job is told to save the next time SLURM looks at the limits.
    keys = ("hydra.launcher.signal_before=3600", "hydra.launcher.cpus_per_task=1")
    words = (*WORDS, *ON_SLURM, *size, *keys)
    with undisturbed, Command(lab, *words) as command:
        assert until(lambda: len(begun(lab)) == 3), command.said
        array = next(iter(jobs(slurm))).partition("_")[0]
        slurm("scancel", array)
        assert command.wait() == 1, command.said
        assert command.said.count("interrupted: stopped by SIGTERM; the same command") == 3
        assert is_empty(slurm)
        with Command(lab, *words) as command:
            disturb(slurm, lab, command)
            (lab / "hold").unlink()
            assert command.wait() == 0, command.said
            said = command.said
        assert undisturbed.wait() == 0, undisturbed.said
    assert "3 of 3 runs finished" in said and said.count("requeued as job") >= 3
    records = nothing_lost(lab / SWEEP, planned=3)
    for run, record in records.items():
        assert unequal(whole / run.relative_to(lab), run) == []
        assert len(record["history"]) >= 2, "canceled, then disturbed once more"
        parts = {path.name.rpartition("-")[2] for path in run.rglob("offline-run-*")}
        assert len(parts) == 1, "one run of W&B"
    assert is_empty(slurm)


def test_ranks_on_two_nodes(lab: Path, slurm: Slurm) -> None:
    """A DDP job that is stopped half-way and requeued ends as two processes of one machine do."""
    (lab / "hold").touch()
    size = ("trainer=ddp_sim", "seeds=1", "trainer.max_epochs=3", "trainer.limit_train_batches=10")
    nodes = ("trainer.devices=1", "trainer.num_nodes=2")
    with Command(lab, *WORDS, *ON_SLURM, *size, *nodes) as command:
        assert until(lambda: begun(lab)), command.said
        (name,) = jobs(slurm)
        slurm("scancel", "--signal=TERM", name)
        assert until(lambda: "requeued as job" in command.said), command.said
        (lab / "hold").unlink()
        assert command.wait() == 0, command.said
    with Command(lab, *WORDS, *size) as command:
        assert command.wait() == 0, command.said
    assert {*(lab / "nodes.txt").read_text().splitlines()} == {"n1 2", "n2 2", "None 2"}
    assert unequal(*begun(lab)) == []
    assert is_empty(slurm)


def disturb(slurm: Slurm, lab: Path, command: Command) -> None:
    """Let a job reach its time limit, displace one, and lose the node of the third."""
    logs = [run / "log.txt" for run in begun(lab)]
    resumed = "the run resumes from last.ckpt"
    assert until(lambda: all(resumed in log.read_text() for log in logs)), command.said
    nodes = {}
    for name, node in where(slurm).items():
        nodes.setdefault(node, []).append(name)
    (displaced,), (limited, lost) = sorted(nodes.values(), key=len)

    slurm("scontrol", "update", f"jobid={limited}", "timelimit=30")
    node = where(slurm)[displaced]
    urgent = ("--partition=high", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
    slurm("sbatch", *urgent, "--wrap=sleep 3")
    assert until(lambda: f"requeued as job {limited}" in command.said, 90), command.said
    slurm("scontrol", "update", f"jobid={limited}", "timelimit=unlimited")
    assert until(lambda: f"requeued as job {displaced}" in command.said, 60), command.said

    node = where(slurm)[lost]
    lose(node)
    assert until(lambda: f"requeued as job {lost}" in command.said, 60), command.said
    slurm("slurmd", "-N", node)


def where(slurm: Slurm) -> dict[str, str]:
    """The node of each running job of an array."""
    lines = slurm("squeue", "--noheader", "--states=R", "--format=%i %N").splitlines()
    return {name: node for name, node in map(str.split, lines) if "_" in name}


def lose(node: str) -> None:
    """Kill all that runs on a node, SLURM's own processes first, as a power cut would."""
    tasks = [pid for pid in pids() if is_marked(pid, f"SLURMD_NODENAME={node}")]
    steps = {parent(pid) for pid in tasks} - {*tasks}
    steps = {pid for pid in steps if words_of(pid).startswith(b"slurmstepd")}
    daemon = int(Path(os.environ["SLURM_CONF"]).with_name(f"slurmd.{node}.pid").read_text())
    assert steps
    for pid in (daemon, *steps, *tasks):
        send(pid, signal.SIGKILL)
