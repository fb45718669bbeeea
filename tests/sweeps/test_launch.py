"""How many jobs at a time, and with what."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from helpers.planned_jobs import planned
from mixlab import runtime
from mixlab.runs import run_folder
from mixlab.runtime import processes_of, threads_for
from mixlab.sweeps import launch
from mixlab.sweeps.launch import job_specs, slots
from mixlab.sweeps.pool import libraries


def trained_on(accelerator: str = "cpu", devices: Any = 1) -> DictConfig:
    return OmegaConf.create({"trainer": {"accelerator": accelerator, "devices": devices}})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine of so many cores and GPUs."""

    def have(cores: int, gpus: int = 0) -> None:
        monkeypatch.setattr(launch, "available_cores", lambda: cores)
        monkeypatch.setattr(runtime, "available_cores", lambda: cores)
        monkeypatch.setattr(launch, "visible_gpus", lambda: [str(n) for n in range(gpus)])

    return have


@pytest.mark.parametrize(
    ("cores", "devices", "wanted", "jobs", "threads"),
    [
        (8, 1, None, 8, 1),  # a core each
        (8, 1, 2, 2, 4),
        (8, 2, None, 4, 1),  # two processes in each
        (8, 2, 1, 1, 4),
        (2, 4, None, 1, 1),  # more processes than cores
        (1, 1, 3, 3, 1),
    ],
)
def test_cores_are_shared_out(
    machine: Any, cores: int, devices: int, wanted: int | None, jobs: int, threads: int
) -> None:
    machine(cores)
    cfg = trained_on(devices=devices)
    assert slots(cfg, wanted, 1) == [{}] * jobs
    assert threads_for(cfg, jobs) == threads


@pytest.mark.parametrize(
    ("devices", "wanted", "each", "expected"),
    [
        (1, None, 1, ["0", "1", "2", "3"]),
        (2, None, 1, ["0,1", "2,3"]),
        (3, None, 1, ["0,1,2"]),
        (-1, None, 1, ["0,1,2,3"]),
        (1, 2, 1, ["0", "1"]),
        (2, None, 2, ["0,1", "2,3", "0,1", "2,3"]),
    ],
)
def test_gpus_are_handed_out(
    machine: Any, devices: int, wanted: int | None, each: int, expected: list[str]
) -> None:
    machine(cores=16, gpus=4)
    found = slots(trained_on("auto", devices), wanted, each)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in found] == expected


def test_more_gpus_than_there_are_is_refused(machine: Any) -> None:
    machine(cores=16, gpus=2)
    with pytest.raises(ValueError, match="trainer.devices=4, but there are 2 GPUs here"):
        slots(trained_on("auto", 4), None, 1)


def test_a_job_on_the_cpu_asks_for_no_gpu(machine: Any) -> None:
    machine(cores=2, gpus=4)
    assert slots(trained_on("cpu"), None, 1) == [{}, {}]


@pytest.mark.parametrize(("devices", "expected"), [(2, 2), ("2", 2), (-1, -1), ("auto", 1)])
def test_processes_of_a_job(devices: Any, expected: int) -> None:
    assert processes_of(trained_on(devices=devices)) == expected


def test_a_spec_has_the_job_in_it(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [0, 4], ["threads=auto"], ["threads=1", "mixing=none"])
    specs = job_specs(jobs, threads=3)
    inside = [spec.run_config() for spec in specs]
    assert [(cfg.seed, cfg.threads) for cfg in inside] == [(0, 3), (0, 1), (4, 3), (4, 1)]
    assert not any(cfg.trainer.enable_progress_bar for cfg in inside)
    assert [spec.folder for spec in specs] == [run_folder(cfg) for cfg in inside]
    assert jobs[0].arm.threads == "auto", "the one given is left alone"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["sklearn.datasets"]),
        (["data=shapes"], []),
        (["data=shapes", "model=timm", "model.name=resnet18"], ["timm"]),
        (["data=shapes", "optimizer=timm"], ["timm"]),
    ],
)
def test_large_libraries_are_loaded_once_for_all_jobs(
    tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    specs = job_specs(planned(tmp_path, [0, 1], ["logger=csv", *words]), threads=1)
    assert libraries(specs) == expected
    named = job_specs(planned(tmp_path, [0], [*words, "logger=wandb"]), threads=1)
    assert libraries([*specs, *named]) == [*expected, "wandb"]


@pytest.mark.parametrize(("name", "value"), [("jobs", 0), ("jobs_per_device", -1)])
def test_numbers_of_jobs(name: str, value: int) -> None:
    options: Any = {"jobs": None, "jobs_per_device": 1, name: value}
    with pytest.raises(ValueError, match=f"hydra.launcher.{name} must be above 0, got {value}"):
        launch.check_knobs(**options)


def test_no_jobs_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setattr(launch, "run_all", lambda *arguments: begun.append(arguments))
    launch.launch([], None, 1)
    assert not begun
