"""A search: what a run returns to a sweeper, and Optuna's sweeper from start to end."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from helpers.commands import Command, until
from helpers.small_runs import SMALL, console
from helpers.without import run_without
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.status import optimized
from mixlab.sweeps.grid import Job
from mixlab.sweeps.search import check_search, job_returns

RESULTS = {"best": {"val/loss": 0.5, "test/loss": 0.7}, "last": {"val/loss": 0.6}}
SEARCH = ("-m", "hparams_search=mixing_optuna", *SMALL, "logger=csv")


def job(folder: Path, **arm: object) -> Job:
    return Job([], OmegaConf.create(arm), {"seed": 0}, folder, {})


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


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("mixing.probabilty=interval(0,1)",), "did you mean mixing.probability?"),
        (("optimized_metric=test/accuracy",), "optimized_metric must be a metric of validation"),
        (("hydra.sweeper.direction=minimize",), "more val/accuracy is better"),
        (("seed=0,1",), "a search trains one seed a trial"),
        (
            ("hydra.sweeper._target_=hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",),
            "hydra/sweeper=optuna is mixlab's own here",
        ),
    ],
)  # fmt: skip
def test_a_search_is_refused_before_anything_is_trained(
    here: Path, command: Callable, words: tuple[str, ...], sentence: str
) -> None:
    said = command("train", *SEARCH, *words)
    assert said.status == 2 and sentence in said.sentence, said.err
    assert not (here / "logs/runs").exists()


def test_without_optuna_it_is_one_sentence(here: Path) -> None:
    program = "import sys; sys.argv[0] = 'mixlab-train'; from mixlab.train import main; main()"
    done = run_without(["optuna"], program, *SEARCH)
    assert done.returncode == 2 and done.stderr.endswith("pip install 'mixlab[optuna]'\n")


QUICK = (
    "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2", "hydra.sweeper.pruner.n_startup_trials=2",
    "trainer.max_epochs=8",
)  # fmt: skip


@pytest.mark.slow
def test_a_killed_search_goes_on_and_its_best_is_trained_beside_the_baseline(here: Path) -> None:
    folder = here / "logs/sweeps/train_mixing_optuna"
    with Command(here, *SEARCH, *QUICK) as search:
        assert until(lambda: "\ntrial 1: " in search.said)
        assert until(lambda: len(list(here.glob("logs/runs/*/*/seed-*/checkpoints/*"))) > 2)
        search.process.kill()
        search.wait()
        assert not search.left()
    done = {file: file.read_bytes() for file in here.glob("logs/runs/*/*/seed-1000000/run.json")}
    done = {file: text for file, text in done.items() if b'"finished"' in text}
    assert len(done) >= 2
    said = console("train", *SEARCH, *QUICK)
    assert said.returncode == 0, said.stdout + said.stderr
    assert {file: file.read_bytes() for file in done} == done, "what was finished is left as it was"
    assert "5 trials, 2 of them done" in said.stdout and "\n5 trials (" in said.stdout
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    records = [read_json(file) for file in here.glob("logs/runs/*/*/seed-1000000/run.json")]
    figures = [each["results"]["best"] for each in records if each["status"] == "finished"]
    assert best["best_value"] == max(row["val/accuracy"] for row in figures)
    assert not any(key.startswith("test/") for row in figures for key in row)

    compared = console("compare", str(folder)).stdout
    assert "trials of the search" in " ".join(compared.split())
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("next: mixlab-train")]
    words = shlex.split(line.replace("seeds=6", "seeds=1"))[2:]
    fresh = console("train", *words)
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    records = [read_json(file) for file in here.glob("logs/runs/*_best/*/seed-*/run.json")]
    assert {each["seed"] for each in records} == {0}
    assert all("test/accuracy" in each["results"]["best"] for each in records)
    tested = read_json(folder.with_name("train_mixing_optuna_best") / "sweep.json")["runs"]
    assert len(tested) == len(records) == len(list(folder.glob("conf/experiment/*.yaml")))
