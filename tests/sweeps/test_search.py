"""A search: what a run returns to a sweeper, and Optuna's sweeper from start to end."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from helpers.small_runs import SMALL
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.status import optimized
from mixlab.sweeps.grid import Job
from mixlab.sweeps.search import check_search, job_returns

RESULTS = {"best": {"val/loss": 0.5, "test/loss": 0.7}, "last": {"val/loss": 0.6}}
SEARCH = ("-m", "hparams_search=mixing_optuna", *SMALL, "logger=csv")
QUICK = ("trainer.max_epochs=1", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2")


def job(folder: Path, **arm: object) -> Job:
    return Job([], OmegaConf.create(arm), {"seed": 0}, folder)


@pytest.fixture
def written() -> Callable[..., Path]:
    def write(folder: Path, **record: object) -> Path:
        folder.mkdir(exist_ok=True)
        write_json(folder / "run.json", record)
        return folder

    return write


def test_a_run_returns_its_metric_at_the_checkpoint_chosen_on_validation() -> None:
    assert optimized(RESULTS, None) is None
    assert optimized(RESULTS, "val/loss") == 0.5
    assert optimized({**RESULTS, "best": None}, "val/loss") == 0.6
    with pytest.raises(UserError, match="val/f1: the run has no such metric, only val/loss"):
        optimized(RESULTS, "val/f1")


def test_a_failed_trial_raises_where_its_result_is_read_and_mistakes_stop_the_search(
    tmp_path: Path, written: Callable[..., Path]
) -> None:
    done = written(tmp_path / "a", status="finished", results=RESULTS)
    failed = written(tmp_path / "b", status="failed", error="it broke")
    jobs = [job(folder, optimized_metric="val/loss") for folder in (done, failed)]
    good, bad = job_returns(jobs)
    assert good.return_value == 0.5
    with pytest.raises(RuntimeError, match="it broke"):
        _ = bad.return_value
    written(tmp_path / "b", status="failed", error="alpha is bad", user_error=True)
    assert len(job_returns(jobs)) == 2, "the other one has a result"
    with pytest.raises(UserError, match="alpha is bad"):
        job_returns(jobs[1:])


@pytest.mark.parametrize(
    "arm, sentence",
    [
        ({"seeds": 5, "optimized_metric": "val/loss"}, "one seed a trial"),
        ({"arms": {"none": {}}, "optimized_metric": "val/loss"}, "one seed a trial"),
        ({"optimized_metric": None}, "optimized_metric=val/accuracy"),
    ],
)
def test_a_search_that_cannot_work_is_refused(tmp_path: Path, arm: dict, sentence: str) -> None:
    jobs = [job(tmp_path, **arm)]
    check_search(jobs, OmegaConf.create({"hydra": {"sweeper": {"_target_": "x.BasicSweeper"}}}))
    with pytest.raises(UserError, match=sentence):
        check_search(jobs, OmegaConf.create({"hydra": {"sweeper": {"_target_": "x.Optuna"}}}))


@pytest.mark.parametrize("metric", ["test/accuracy", "train/accuracy", "val/acuracy"])
def test_only_a_metric_of_validation_is_optimized(
    here: Path, command: Callable, metric: str
) -> None:
    said = command("train", *SMALL, f"optimized_metric={metric}")
    assert said.status == 2 and said.sentence.startswith("mixlab-train: optimized_metric must be")


def test_a_search_needs_m(here: Path, command: Callable) -> None:
    said = command("train", "hparams_search=mixing_optuna")
    assert said.status == 2 and "give it with -m" in said.sentence


@pytest.mark.slow
def test_optuna_finishes_a_search_and_repeats_it_without_training(here: Path) -> None:
    search = [sys.executable, "-m", "mixlab.train", *SEARCH, *QUICK]  # Optuna 2 warns on import
    subprocess.run(search, check=True)
    folder = here / "logs/sweeps/train_mixing_optuna"
    runs = [folder / run / "run.json" for run in read_json(folder / "sweep.json")["runs"]]
    records = [read_json(run) for run in runs]
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    figures = [record["results"]["best"] for record in records]
    assert len({run for run in runs}) == len(runs) >= 2
    assert best["best_value"] == max(row["val/accuracy"] for row in figures)
    assert not any(key.startswith("test/") for row in figures for key in row)
    subprocess.run(search, check=True)
    assert [read_json(run) for run in runs] == records, "each was finished and is left as it was"
    assert yaml.safe_load((folder / "optimization_results.yaml").read_text()) == best
