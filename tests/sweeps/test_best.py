"""What a search leaves behind: the best trial as an experiment, and the command that judges it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from omegaconf import OmegaConf

from helpers.small_runs import SMALL
from mixlab.runs.atomic import read_json
from mixlab.runs.trials import TRIAL_SEEDS
from mixlab.sweeps.best import FRESH, differing_keys, experiments_of, next_commands

MIXED = ["mixing=mixup", "mixing.method.alpha=0.4", "optimizer.lr=0.01"]
PLAIN = ["mixing=none", "optimizer.lr=0.01"]
SLOW = ["mixing=none", "optimizer.lr=0.001"]


def trials(*words: list[str]) -> list:
    return [SimpleNamespace(user_attrs={"words": each}) for each in words]


@pytest.mark.parametrize(
    "ranked, expected",
    [
        ([MIXED, PLAIN], {"best": MIXED, "baseline": PLAIN}),
        ([MIXED, SLOW, PLAIN], {"best": MIXED, "baseline": PLAIN, "best_unmixed": SLOW}),
        ([MIXED], {"best": MIXED, "baseline": PLAIN}),
        ([PLAIN, MIXED], {"best": PLAIN}),
    ],
)
def test_the_best_has_its_own_settings_unmixed_beside_it(ranked: list, expected: dict) -> None:
    assert experiments_of(trials(*ranked)) == expected
    assert differing_keys([MIXED, SLOW]) == ["optimizer.lr"] and not differing_keys([MIXED, PLAIN])


def test_the_next_command_has_fresh_seeds_and_what_the_search_was_given(tmp_path: Path) -> None:
    fixed = ["data=digits", "allow=[mylab]", "paths.log_dir=x"]
    search = SimpleNamespace(folder=tmp_path / "s", fixed=fixed)
    sources = [{"provider": "command-line", "path": str(tmp_path / "conf")}]
    overrides = ["hydra.mode=MULTIRUN", "hydra/launcher=ray"]

    def said(sources: list) -> list[str]:
        hydra = {"runtime": {"config_sources": sources}, "overrides": {"hydra": overrides}}
        config = OmegaConf.create({"hydra": hydra})
        found = {"best": MIXED, "baseline": PLAIN, "best_unmixed": SLOW}
        return list(next_commands(search, found, config))  # pyright: ignore

    _, command, compare, wider = said([])
    assert command.startswith(f"next: mixlab-train -m --config-dir={tmp_path}/s/conf experiment=")
    rest = f"seeds={FRESH} task_name=s_best 'allow=[mylab]' paths.log_dir=x hydra/launcher=ray"
    assert command.endswith(f"experiment=best,baseline,best_unmixed {rest}")
    assert compare == f"then: mixlab-compare {tmp_path}/s_best"
    assert wider.endswith("--by mixing --by optimizer.lr")
    own = said(sources)[1]
    assert f"--config-dir={tmp_path}/conf 'hydra.searchpath=[file://{tmp_path}/s/conf]'" in own
    assert FRESH < TRIAL_SEEDS, "so no fresh seed is one of a trial"


@pytest.mark.slow
def test_a_search_ends_with_experiments_that_compose_as_its_trials(
    here: Path, command: Callable
) -> None:
    words = ["-m", "hparams_search=mixing_optuna", "hydra/launcher=basic", *SMALL, "logger=none"]
    words += ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "experiment=digits"]
    words += ["hydra.sweeper.n_trials=1", "mixing=mixup,cutmix", "augmentation=noise"]
    said = command("train", *words)
    assert said.status == 0, said.err + said.out
    conf = here / "logs/sweeps/digits_mixing_optuna/conf/experiment"
    best, baseline = (
        yaml.safe_load((conf / f"{n}.yaml").read_text()) for n in ("best", "baseline")
    )
    assert {"override /augmentation": "noise"} in best["defaults"] and "experiment" not in best
    assert best["trainer"]["max_epochs"] == 1 and best["optimizer"] == baseline["optimizer"]
    assert {"override /mixing": "none"} in baseline["defaults"] and "mixing" not in baseline
    (run,) = read_json(conf.parents[1] / "sweep.json")["runs"]
    config = OmegaConf.load(conf.parents[1] / run / "config.yaml")
    assert best["mixing"]["method"]["alpha"] == config.mixing.method.alpha
    again = command("train", *words)
    assert "1 of them done" in again.out and again.status == 0
