"""A study that outlives its process, and asks the same again."""

from pathlib import Path

import optuna
import pytest

from mixlab.errors import UserError
from mixlab.sweeps.search_settings import SearchSettings
from mixlab.sweeps.study import (
    build_pruner,
    build_sampler,
    in_flight,
    next_trial,
    open_study,
    ranked,
    shown,
    told_trials,
)

TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 2}


def settings(**changed) -> SearchSettings:
    usual = dict(n_trials=4, n_jobs=1, direction="maximize", seed=0, sampler=TPE, pruner=None)
    return SearchSettings(**{**usual, "storage": None, "study_name": None, **changed})


def tried(folder: Path, trials: int, **changed) -> list[float]:
    """What a search of one knob tries, opened anew for each trial."""
    for _ in range(trials):
        study = open_study(settings(**changed), folder, {})
        trial = next_trial(study, settings(**changed))
        study.tell(trial, trial.suggest_float("x", 0, 1))
    return [trial.params["x"] for trial in told_trials(study)]


def test_a_search_tries_the_same_however_often_it_is_begun_again(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in "abc")
    for folder in (first, second, other):
        folder.mkdir()
    values = tried(first, 5)
    assert len(set(values)) == 5, "a sampler that begins again does not repeat its draws"
    study = open_study(settings(), second, {})
    for _ in range(5):
        trial = next_trial(study, settings())
        study.tell(trial, trial.suggest_float("x", 0, 1))
    assert [trial.params["x"] for trial in told_trials(study)] == values
    assert tried(other, 3, seed=1) != values[:3]


def test_trials_in_flight_keep_what_they_try(tmp_path: Path) -> None:
    study = open_study(settings(), tmp_path, {"metric": "val/loss"})
    tried = next_trial(study, settings()).suggest_float("x", 0, 1)
    study = open_study(settings(), tmp_path, {"metric": "val/loss"})  # the process was killed
    (trial,) = in_flight(study)
    assert trial.suggest_float("x", 0, 1) == tried and not told_trials(study)
    study.tell(trial, 1.0)
    assert not in_flight(study) and len(told_trials(study)) == 1


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    open_study(settings(), tmp_path, {"metric": "val/loss", "space": {"a": (1, 2)}})
    open_study(settings(), tmp_path, {"metric": "val/loss", "space": {"a": (1, 2)}})
    with pytest.raises(UserError, match="a search with another metric; .*task_name="):
        open_study(settings(), tmp_path, {"metric": "val/accuracy", "space": {"a": (1, 2)}})


def test_the_order_of_trials_follows_the_direction(tmp_path: Path) -> None:
    for direction, best in (("maximize", [0.5, 0.5, 0.1]), ("minimize", [0.1, 0.5, 0.5])):
        study = optuna.create_study(direction=direction)
        for value in (0.5, 0.1, 0.5):
            study.tell(study.ask(), value)
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
        assert [trial.value for trial in ranked(study)] == best
        assert ranked(study)[best.index(0.5)].number == 0, "the earlier of equals"


def test_bad_settings_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database at all, but long enough to be one" * 100)
    with pytest.raises(UserError, match="holds no study .*move it away"):
        open_study(settings(), tmp_path, {})
    with pytest.raises(UserError, match="hydra.sweeper.sampler: .*Tree"):
        build_sampler({"_target_": "optuna.samplers.TreeSampler"}, 0)
    for kind in ("RandomSampler", "TPESampler", "NSGAIISampler"):
        node = {"_target_": f"optuna.samplers.{kind}", "constant_liar": True}
        assert type(build_sampler(node, 0)).__name__ == kind, "our defaults are those of another"
    with pytest.raises(UserError, match="hydra.sweeper.pruner: .*startup"):
        build_pruner({"_target_": "optuna.pruners.MedianPruner", "startup": 1})
    assert shown("postgresql://me:secret@host/db") == "postgresql://host/db"
