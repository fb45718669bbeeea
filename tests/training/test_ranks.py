"""Other ranks begin at the run's folder, not at somebody's command line."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mixlab import rank as module
from mixlab.callbacks import Interrupted
from mixlab.errors import UserError
from mixlab.rank import join
from mixlab.training.fit import ranks_join
from mixlab.training.ranks import (
    Launch,
    check_alone,
    check_counts,
    check_gpus,
    check_strategy,
    first_node,
    forget_torchrun,
    launched,
    tasks_of_nodes,
)


def test_a_rank_is_started_with_this_file_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mixlab-train", "-m", "seeds=5"])
    main = sys.modules["__main__"]
    spec = main.__spec__
    with ranks_join(tmp_path, ["mylab", "other"]):
        assert sys.argv == [str(Path(module.__file__).resolve()), str(tmp_path), "mylab,other"]
        assert main.__spec__ is None
    assert sys.argv == ["mixlab-train", "-m", "seeds=5"] and main.__spec__ is spec


def test_arguments_come_back_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mine"])
    with pytest.raises(KeyError), ranks_join(tmp_path):
        raise KeyError
    assert sys.argv == ["mine"]


@pytest.fixture
def joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs that were joined, whose `fit` is stopped by a signal."""
    runs: list[Any] = []

    def fit(run: Any) -> None:
        runs.append(run)
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("mixlab.training.fit.fit", fit)
    OmegaConf.save({"seed": 3, "allow": ["evil"]}, tmp_path / "config.yaml")
    return runs


def test_what_may_be_called_is_the_parents_to_say(tmp_path: Path, joined: list[Any]) -> None:
    join(tmp_path, ["mylab"])  # and a stop that all ranks were asked for is no error
    assert joined[0].cfg.allow == ["mylab"] and joined[0].cfg.seed == 3


def test_the_file_is_a_program() -> None:
    file = Path(module.__file__)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert "IndexError" in done.stderr, "it starts, and wants the folder"


RANK = """
import time
from mixlab.signals import end_with_parent
end_with_parent()
print("watching", flush=True)
time.sleep(100)
"""
LAUNCHER = f"""
import os, signal, subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", {RANK!r}], stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL)  # or whoever reads ours waits for the rank
rank.stdout.readline()
print(rank.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rank_does_not_outlive_the_one_that_started_it() -> None:
    words = [sys.executable, "-c", LAUNCHER]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    stat, end = Path(f"/proc/{int(done.stdout)}/stat"), time.monotonic() + 20
    while stat.exists() and " Z " not in stat.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)


OF_TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "RANK": "3",
    "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1",
    "MASTER_ADDR": "node0", "MASTER_PORT": "29500",
}  # fmt: skip
OF_SRUN = {
    "SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_STEP_NODELIST": "gpu[07-08]",
}  # fmt: skip


def test_what_torchrun_says() -> None:
    launch = launched(OF_TORCHRUN)
    assert launch == Launch(3, 4, "none-node0-29500", 1, 2, 1, "node0", 29500, "torchrun")
    again = launched({**OF_TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "1"})
    assert again == launch, "nodes may count attempts differently"


def test_what_srun_says() -> None:
    launch = launched(OF_SRUN)
    assert launch == Launch(2, 3, "71.0-0", 0, 1, 1, "gpu07", 15710, "srun")
    again = launched({**OF_SRUN, "SLURM_RESTART_COUNT": "1"})
    assert launch is not None and again is not None and again.id != launch.id, (
        "a requeued job is another launch"
    )
    named = launched({**OF_SRUN, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"})
    assert named is not None and (named.address, named.port) == ("10.0.0.1", 4000)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
         "MASTER_PORT": "40000"},
        {"SLURM_JOB_ID": "71", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"},
        {"SLURM_JOB_ID": "71", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
         "SLURM_NODEID": "0"},
        {**OF_SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ],
    ids=["nothing", "a rank of Lightning's", "salloc", "sbatch without srun", "srun of one task"],
)  # fmt: skip
def test_what_is_no_rank_of_several(environment: dict[str, str]) -> None:
    assert launched(environment) is None


@pytest.mark.parametrize(
    ("words", "first"),
    [("n1", "n1"), ("n[1-2]", "n1"), ("gpu[07-09,11],big1", "gpu07"), ("a-1,b", "a-1"),
     ("r[2,4]-ib", "r2-ib")],
)  # fmt: skip
def test_the_first_node_of_a_list(words: str, first: str) -> None:
    assert first_node(words) == first


def test_tasks_of_nodes() -> None:
    assert tasks_of_nodes("2(x3),1") == [2, 2, 2, 1]


def test_a_job_of_a_sweep_is_no_rank() -> None:
    environment = {**OF_TORCHRUN, "PATH": "/bin"}
    forget_torchrun(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "given",
    ["fsdp", "fsdp_cpu_offload", "deepspeed_stage_2",
     {"_target_": "pytorch_lightning.strategies.ModelParallelStrategy"}],
)  # fmt: skip
def test_checkpoints_that_would_be_read_wrongly(given: Any) -> None:
    with pytest.raises(UserError, match="use trainer=fsdp"):
        check_strategy(given)


@pytest.mark.parametrize(
    "given", ["auto", "ddp", None, {"_target_": "mixlab.training.fsdp.FullySharded"}]
)
def test_strategies_with_one_file(given: Any) -> None:
    check_strategy(given)


FOUR = Launch(0, 4, "x", local_size=2)


def counts(devices: Any, nodes: int = 1, accelerator: str = "cpu") -> Any:
    trainer = {"devices": devices, "num_nodes": nodes, "accelerator": accelerator}
    return OmegaConf.create({"trainer": trainer})


@pytest.mark.parametrize("devices", [2, "2", -1, "-1", "auto", [0, 1], "0,1"])
def test_counts_that_fit(devices: Any) -> None:
    check_counts(counts(devices, 2), FOUR)


@pytest.mark.parametrize(
    ("devices", "nodes", "add"),
    [(1, 1, "trainer.devices=2 trainer.num_nodes=2"), (2, 1, "trainer.num_nodes=2"),
     (4, 2, "trainer.devices=2"), (-1, 1, "trainer.num_nodes=2")],
)  # fmt: skip
def test_counts_that_do_not_fit(devices: int, nodes: int, add: str) -> None:
    with pytest.raises(UserError) as caught:
        check_counts(counts(devices, nodes), FOUR)
    assert "torchrun started 4 ranks (2 on each of 2 nodes)" in str(caught.value)
    assert f"add {add}, or" in str(caught.value)


def test_as_many_ranks_on_each_node() -> None:
    with pytest.raises(UserError, match="3 ranks, 2 of them on node 0; start equally many"):
        check_counts(counts(-1, 2), Launch(0, 3, "x", local_size=2))


def test_several_nodes_need_a_launcher() -> None:
    with pytest.raises(UserError, match="trainer.num_nodes=2 needs processes on each node"):
        check_alone(counts(2, 2))
    check_alone(counts(2))


@pytest.mark.parametrize(("accelerator", "gpus"), [("gpu", 1), ("cuda", 0), ("auto", 1)])
def test_more_ranks_than_gpus(accelerator: str, gpus: int) -> None:
    with pytest.raises(UserError, match="started 2 ranks on node 0, where a process sees"):
        check_gpus(counts(2, accelerator=accelerator), FOUR, gpus)


@pytest.mark.parametrize(("accelerator", "gpus"), [("gpu", 2), ("auto", 0), ("cpu", 1)])
def test_as_many_gpus_as_ranks(accelerator: str, gpus: int) -> None:
    check_gpus(counts(2, accelerator=accelerator), FOUR, gpus)
