"""A search from its first trial to its last, where the training is only written down."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from helpers.small_runs import composed
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.provenance import code_hashes
from mixlab.sweeps.grid import Job
from mixlab.sweeps.space import axes_of
from mixlab.sweeps.study import in_flight, ranked, told_trials
from mixlab.sweeps.trials import Search, begin_search, run_search

SWEEPER = {"n_trials": 4, "n_jobs": 2, "sampler": {"_target_": "optuna.samplers.RandomSampler"}}
FIXED = ["optimized_metric=val/accuracy", "test=false", "logger=none"]
RATES = "optimizer.lr=interval(0.001,0.1)"


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., AbstractContextManager[Search]]:
    def compose(words: list[str]):
        cfg = composed(*words).copy()
        cfg.paths.log_dir = str(tmp_path / "logs")
        return cfg

    def begun(*words: str, fixed: Sequence[str] = (), **sweeper: Any):
        overrides = OverridesParser.create().parse_overrides(list(words) or [RATES])
        axes = axes_of(overrides, lambda key: key == "mixing")
        hydra = {"sweeper": {**SWEEPER, **sweeper}, "sweep": {"dir": str(tmp_path / "s" / "x")}}
        config = OmegaConf.create({"hydra": hydra})
        compose_any: Any = compose
        return begin_search(axes, [*FIXED, *fixed], compose_any, config)

    return begun


class Trained(list):
    """The jobs that were to be trained. Each ends as the next of `ends` says, or is finished."""

    def __init__(self, *ends: dict) -> None:
        self.ends = list(ends)

    def __call__(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            end = self.ends.pop(0) if self.ends else {}
            value = job.arm.optimizer.lr
            results = {"results": {"best": {"val/accuracy": value}, "last": {}}}
            record = {"status": "finished", "code": code_hashes(), **results, **end}
            write_json(job.folder / "run.json", record)
            self.append(job)


def finish(search: Search, train: Callable, tmp_path: Path) -> None:
    dir_of = {"hydra": {"sweep": {"dir": str(tmp_path / "s" / "x")}}}
    run_search(search, train, OmegaConf.create(dir_of))


FAILED = {"status": "failed", "error": "it broke"}
MISTAKE = {**FAILED, "user_error": True}


def test_trials_that_fail_do_not_end_a_search_and_count(
    tmp_path: Path, begin: Callable, capsys: pytest.CaptureFixture
) -> None:
    train = Trained(FAILED, {"status": "diverged", "error": "nan"}, {"status": "pruned"})
    with begin() as search:
        finish(search, train, tmp_path)
        states = [trial.state.name for trial in told_trials(search.study)]
        assert states == ["FAIL", "FAIL", "PRUNED", "COMPLETE"] and len(train) == 4
        (best,) = ranked(search.study)
        assert best.value == train[3].arm.optimizer.lr
    said = capsys.readouterr().out
    assert said.count("trial ") == 4 + 1 and "trial 0: optimizer.lr=" in said
    assert "failed: it broke (none so far)" in said and "(best so far: trial 3, " in said
    assert {job.seed for job in train} == {1_000_000}, "no sweep trains at it"
    assert {job.own["trial_of"] for job in train} == {"x"}
    assert len(read_json(tmp_path / "s/x/sweep.json")["runs"]) == 4

    again = Trained()
    with begin() as search:
        finish(search, again, tmp_path)
    assert not again, "it is over"
    with begin(n_trials=5) as search:
        finish(search, again, tmp_path)
    assert len(again) == 1, "n_trials is the number of all together"


def test_equal_trials_are_one_run(tmp_path: Path, begin: Callable) -> None:
    train = Trained()
    with begin("optimizer.lr=0.01,0.01") as search:
        finish(search, train, tmp_path)
        assert len(told_trials(search.study)) == 4 and len(train) == 1


def test_a_mistake_ends_a_search_and_its_trial_is_trained_when_it_is_mended(
    tmp_path: Path, begin: Callable
) -> None:
    with begin() as search, pytest.raises(UserError, match="it broke"):
        finish(search, Trained(MISTAKE), tmp_path)
    with begin() as search:
        tried = [search.job(trial).folder for trial in in_flight(search.study)]
        assert len(tried) == 2
        train = Trained()
        finish(search, train, tmp_path)
        assert train[0].folder == tried[0], "the one that failed; the other is finished"
        assert len(told_trials(search.study)) == len(ranked(search.study)) == 4


def test_an_interrupted_trial_is_the_next_one(tmp_path: Path, begin: Callable) -> None:
    stopped = Trained({"status": "interrupted", "error": "stopped by SIGTERM"})
    with begin(n_jobs=1) as search, pytest.raises(SystemExit):
        finish(search, stopped, tmp_path)
    train = Trained()
    with begin(n_jobs=1) as search:
        finish(search, train, tmp_path)
    assert train[0].folder == stopped[0].folder and len(train) == 4


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"fixed": ["seeds=3"]}, "one seed a trial"),
        ({"fixed": ["arms={none:{}}"]}, "one seed a trial"),
        ({"fixed": ["optimized_metric=null"]}, "needs a figure to go by"),
        ({"fixed": ["existing=new"]}, "begin another search with task_name="),
        ({"fixed": ["existing=replace"]}, "begin another search with task_name="),
        ({"fixed": ["seed=4294967295"]}, "seed=4294967295 is too large"),
        ({"n_trials": 0}, "hydra.sweeper.n_trials must be a whole number above 0, got 0"),
        ({"direction": "minimize"}, "more val/accuracy is better"),
        ({"direction": "up"}, "must be minimize or maximize"),
        ({"sampler": {"seed": -1}}, "sampler.seed must be in"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(
    begin: Callable, changed: dict, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence), begin(**changed):
        pass


def test_a_search_that_other_code_began_is_refused(tmp_path: Path, begin: Callable) -> None:
    made = {"code": {"mixlab/mixing/stream.py": "other"}}
    with begin() as search:
        finish(search, Trained(made, made, made, made), tmp_path)
    with begin(n_trials=5) as search, pytest.raises(UserError, match="made by other code"):
        finish(search, Trained(), tmp_path)
    with begin(n_trials=5, fixed=["existing=reuse"]) as search:
        finish(search, Trained(), tmp_path)
        assert len(told_trials(search.study)) == 5


def test_one_search_at_a_time(begin: Callable) -> None:
    with begin(), pytest.raises(UserError, match="another process makes the search"), begin():
        pass
    with begin():
        pass


def test_pruning_waits_for_a_third_of_the_epochs(begin: Callable) -> None:
    pruner = partial(dict, _target_="optuna.pruners.MedianPruner")
    for given, steps in ((None, 5), (2, 2)):
        words = ["trainer.max_epochs=15"]
        with begin(fixed=words, pruner=pruner(n_warmup_steps=given)) as search:
            assert search.study.pruner._n_warmup_steps == steps
