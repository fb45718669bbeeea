"""Jobs on a Ray cluster: two nodes of this machine, workers that are killed, shares of a GPU."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from helpers.commands import Command, pids, until, words_of
from helpers.small_runs import SMALL, console, write_lab
from helpers.without import run_without
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json
from mixlab.sweeps.ray_cluster import RaySettings, import_ray, resources
from mixlab.sweeps.ray_launch import Tasks
from mixlab.sweeps.worker import JobSpec

NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0}},
    {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


def config(**trainer: object):
    return OmegaConf.create({"trainer": {"accelerator": "auto", "devices": 1, **trainer}})


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"num_cpus": -1}, "num_cpus must be 0 or more, got -1"),
        ({"num_gpus": 1.5}, "a whole number or a share below 1, got 1.5"),
        ({"max_retries": -1}, "max_retries must be 0 or more"),
        ({"address": "ray://head:10001"}, "auto, host:port of a Ray cluster, or null"),
    ],
)
def test_bad_settings_are_one_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        RaySettings(**given).check()
    for good in (RaySettings(), RaySettings(0.5, 0.25, "head:6379", 0), RaySettings(4, 2, "auto")):
        good.check()


def test_a_job_has_a_cpu_and_a_gpu_for_each_process_unless_told_otherwise() -> None:
    one, none = {"num_cpus": 1, "num_gpus": 1}, {"num_cpus": 1, "num_gpus": 0}
    assert resources(config(), RaySettings(), NODES) == one
    assert resources(config(accelerator="cpu"), RaySettings(), NODES) == none
    assert resources(config(), RaySettings(), NODES[:1]) == none
    two = config(accelerator="cpu", devices=2)
    assert resources(two, RaySettings(), NODES) == {"num_cpus": 2, "num_gpus": 0}
    half = {"num_cpus": 0.5, "num_gpus": 0.5}
    assert resources(config(), RaySettings(0.5, 0.5), NODES) == half


@pytest.mark.parametrize("given", [{"num_cpus": 5}, {"num_gpus": 2}])
def test_what_no_node_has_is_refused_for_it_would_wait_for_ever(given: dict) -> None:
    with pytest.raises(
        UserError, match=f"hydra.launcher.{next(iter(given))}=.* no node of the Ray"
    ):
        resources(config(), RaySettings(**given), NODES)


def test_tasks_that_end_in_any_way_are_recorded(tmp_path: Path) -> None:
    """Without Ray's processes: what it raises for a worker that died is its own exception."""
    exceptions = pytest.importorskip("ray.exceptions")
    ends = {"good": 0, "hard": -11, "lost": exceptions.WorkerCrashedError()}
    ends["stopped"] = exceptions.TaskCancelledError()
    done: list[tuple[str, int]] = []
    progress = SimpleNamespace(done=lambda spec, code, _: done.append((spec.folder.name, code)))

    def get(name: str) -> int:
        if isinstance(ends[name], BaseException):
            raise ends[name]
        return ends[name]

    ray = SimpleNamespace(get=get, wait=lambda refs, **_: (refs[:1], refs[1:]))
    specs = {name: JobSpec("", tmp_path / name) for name in ends}
    stop = SimpleNamespace(asked=False)
    tasks = Tasks(ray, progress, stop, specs)  # pyright: ignore[reportArgumentType]
    tasks.run()
    assert done == [("good", 0), ("hard", -11), ("lost", -signal.SIGKILL)]
    assert [spec.folder.name for spec in tasks.stopped] == ["stopped"]


@pytest.mark.slow
def test_a_cluster_out_of_reach_is_one_sentence(here: Path) -> None:
    """Said before Ray tries, which takes it a minute and adds its reason in brackets."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        said = console("train", "-m", *RAY, *SMALL, f"hydra.launcher.address={address}")
    assert said.returncode == 2
    assert f"no Ray cluster at hydra.launcher.address={address}; start one" in said.stderr
    assert said.stderr.rstrip().endswith("on this machine alone"), "Ray tried it"
    assert not (here / "logs").exists()


def test_without_ray_it_is_one_sentence(here: Path) -> None:
    program = "import sys; sys.argv[0] = 'mixlab-train'; from mixlab.train import main; main()"
    done = run_without(["ray"], program, "-m", *RAY, *SMALL)
    assert done.returncode == 2 and done.stderr.endswith("pip install 'mixlab[ray]'\n")
    assert not (here / "logs").exists()


MYLAB = '''
import json, os, time
from pathlib import Path
import pytorch_lightning as pl

class Where(pl.Callback):
    """Writes down which node and which GPU a run has, and when; waits where it is told to."""

    changes_training = False

    def on_train_start(self, trainer, module):
        self.began = time.time()

    def on_train_epoch_start(self, trainer, module):
        while trainer.current_epoch == 1 and Path("wait").exists():
            time.sleep(0.05)

    def on_train_end(self, trainer, module):
        node = [os.environ.get("RAY_RAYLET_PID"), os.environ.get("CUDA_VISIBLE_DEVICES")]
        file = Path(trainer.default_root_dir, "where.json")
        file.write_text(json.dumps([*node, self.began, time.time()]))
'''
CALLBACKS = "defaults: [default]\nwhere:\n  _target_: mylab.Where\n"
RAY = ("hydra/launcher=ray", "seeds=4", "mixing=mixup")
WORDS = ("-m", "--config-dir=conf", "callbacks=where", "allow=[mylab]", *SMALL, "logger=csv")


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes with a CPU each, one with a GPU that is none."""
    import_ray()
    ray_cluster = pytest.importorskip("ray.cluster_utils")
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = ray_cluster.Cluster(initialize_head=True, head_node_args={**small, "num_gpus": 1})
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def lab(here: Path) -> Path:
    return write_lab(here, MYLAB, CALLBACKS, "where")


def notes(folder: Path) -> list[list]:
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("where.json"))]


def figures(folder: Path) -> list[dict]:
    runs = sorted(folder.rglob("run.json"))
    rows = [read_json(run)["results"]["last"] for run in runs]
    return [{key: x for key, x in row.items() if key != "seconds"} for row in rows]


def ray_workers() -> list[int]:
    return [pid for pid in pids() if b"ray::train_remotely" in words_of(pid)]


@pytest.mark.slow
def test_two_nodes_share_a_sweep_and_a_killed_worker_is_tried_again(
    lab: Path, two_nodes: str
) -> None:
    (lab / "wait").touch()
    with Command(lab, *WORDS, *RAY, f"hydra.launcher.address={two_nodes}") as sweep:
        assert until(lambda: len(list(lab.rglob("last.ckpt"))) == 2), sweep.said
        victim = ray_workers()[0]
        os.kill(victim, signal.SIGKILL)
        time.sleep(3)  # within which the process of its run ends, too
        (lab / "wait").unlink()
        assert sweep.wait() == 0, sweep.said
        assert "4 of 4 runs finished" in sweep.said and "Traceback" not in sweep.said
    assert len({node for node, *_ in notes(lab)}) == 2, "both nodes trained"
    again = [read_json(run).get("history") for run in lab.rglob("run.json")]
    assert len([each for each in again if each]) == 1, "one was tried again"
    ours = figures(lab / "logs" / "runs")
    assert console("train", *WORDS, *RAY[1:], "task_name=usual").returncode == 0
    assert figures(lab / "logs" / "runs" / "usual") == ours


@pytest.mark.slow
def test_two_jobs_share_a_gpu(lab: Path, two_nodes: str) -> None:
    share = ("hydra.launcher.num_gpus=0.5", "hydra.launcher.num_cpus=0.5", "seeds=2")
    (lab / "wait").touch()
    words = (*WORDS, "hydra/launcher=ray", f"hydra.launcher.address={two_nodes}", *share)
    with Command(lab, *words) as sweep:
        assert until(lambda: len(list(lab.rglob("last.ckpt"))) == 2), sweep.said
        (lab / "wait").unlink()
        assert sweep.wait() == 0, sweep.said
    one, other = notes(lab)
    assert one[1] == other[1] == "0", "the same GPU"
    assert max(one[2], other[2]) < min(one[3], other[3]), "at the same time"


@pytest.mark.slow
def test_ranks_of_a_job_inside_a_task(lab: Path) -> None:
    ddp = ("trainer=ddp_sim", "seeds=1", "mixing=mixup")
    done = console("train", *WORDS, "hydra/launcher=ray", *ddp)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(next(lab.rglob("run.json")))["devices"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_and_cluster_end_with_their_launcher(lab: Path, signum: int) -> None:
    (lab / "wait").touch()
    words = (*WORDS, "hydra/launcher=ray", "seeds=2", "trainer.max_epochs=1000")
    with Command(lab, *words) as sweep:
        assert until(lambda: list(lab.rglob("last.ckpt"))), sweep.said
        (lab / "wait").unlink()
        if (
            signum == signal.SIGINT
        ):  # a terminal sends it to all, and the cluster must not die of it
            os.killpg(sweep.process.pid, signum)
        else:
            sweep.process.send_signal(signum)
        status = sweep.wait()
        assert not sweep.left(120), "nothing is left of the cluster and its jobs"
        if signum != signal.SIGKILL:
            assert status == 130 and "interrupted: stopped by SIGTERM" in sweep.said, sweep.said
    states = [read_json(run)["status"] for run in lab.rglob("run.json")]
    assert len(states) == 2 and "finished" not in states
    if signum != signal.SIGKILL:
        assert set(states) <= {"interrupted", "planned"}
