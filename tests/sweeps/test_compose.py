"""A grid of numbers is composed from one checked configuration, with the same result and errors."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from mixlab.config.checks import prepare
from mixlab.config.keys import config_dir
from mixlab.sweeps import compose
from mixlab.sweeps.compose import Composer


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = ["data=digits", "trainer=cpu", "logger=csv"]
        master = loader.load_configuration("train", words, run_mode=RunMode.MULTIRUN)
        yield Composer(SimpleNamespace(config_loader=loader), master)


def outcome(function: Any, words: list[str]) -> Any:
    """The configuration as it is written and resolved, or the sentence of what is wrong."""
    try:
        cfg = function(words)
    except Exception as error:
        return type(error).__name__, str(error)
    return [OmegaConf.to_container(cfg, resolve=resolve) for resolve in (False, True)]


@pytest.mark.parametrize(
    "numbers",
    [
        ["mixing.method.alpha=0.3"],
        ["mixing.method.alpha=1", "mixing.probability=0.5", "optimizer.lr=1e-2"],
        ["trainer.max_epochs=3", "data.batch_size=7"],
        ["mixing.gate={every: 2}", "mixing.method.alpha=0.3"],
        ["mixing=none", "mixing.method.alpha=0.3"],
        ["mixing=one_of", "mixing.method.methods.0.alpha=0.4"],
        ["data.val_size=0.2", "+mixing.method.alpha=0.3"],
        ["++optimizer.lr=0.1"],
        ["threads=2"],
        ["model.name=3"],
        ["mixing.method.alpha=0"],
        ["mixing.method.alpha=nan"],
        ["mixing.method.alpa=1"],
        ["mixing.probability=2"],
        ["data.batch_size=1"],
        ["data.batch_size=2.5"],
        ["mixing=5"],
        ["data=npz", "optimizer.lr=1"],
        ["~optimizer.lr", "trainer.max_epochs=2"],
        ["trainer=3"],
        ["+note=3"],
        ["mixing.method=3"],
    ],
)
def test_numbers_change_what_they_would_change_with_all_files_composed_again(
    composer: Composer, numbers: list[str]
) -> None:
    words = ["mixing=mixup", *numbers]
    assert outcome(composer, words) == outcome(lambda w: prepare(*composer.unchecked(w)), words)


def test_arms_of_a_grid_of_numbers_are_checked_as_a_whole_once(composer: Composer) -> None:
    words = ["mixing=cutmix", "optimizer.weight_decay=0.125"]
    with patch.object(compose, "prepare", wraps=prepare) as checks:
        arms = [composer([*words, f"mixing.method.alpha={n / 10}"]) for n in range(1, 6)]
    assert checks.call_count == 1
    assert [arm.mixing.method.alpha for arm in arms] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert len({id(arm.optimizer) for arm in arms}) == 5, "each has its own copy"
