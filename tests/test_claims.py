"""The sweeps of configs/claim: each composes, says what it is for, and does not name its runs."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from helpers.small_runs import SMALL, composed
from mixlab.config.keys import config_dir
from mixlab.runs import arm_hash
from mixlab.runs.atomic import read_json
from mixlab.sweeps import grid

FILES = sorted((config_dir() / "claim").glob("*.yaml"))
every_sweep = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
ARMS = {
    "methods": 57,
    "more_sources": 6,
    "partners": 7,
    "same_class": 7,
    "probability": 9,
    "cutmix_or_cutout": 5,
}


def arms_of(file: Path) -> list[list[str]]:
    """The overrides of each arm, as our sweeper makes them."""
    params = OmegaConf.load(file).hydra.sweeper.params
    words = [f"{key}={value}" for key, value in params.items()]
    overrides = OverridesParser.create().parse_overrides(words)
    assert grid.requested_seeds(overrides) == list(range(6)), (
        "six seeds are the fewest that can claim"
    )
    return grid.arms(overrides, BasicSweeper.split_arguments)


@every_sweep
def test_an_arm_composes_and_is_the_same_run_under_any_sweep(file: Path) -> None:
    *_, last = arms_of(file)
    cfg = composed(f"claim={file.stem}", *last)
    assert arm_hash(cfg) == arm_hash(composed(*last)) and cfg.task_name == "train"


@pytest.mark.slow
@every_sweep
def test_every_arm_composes_and_equal_ones_are_one(file: Path) -> None:
    assert len({arm_hash(composed(*words)) for words in arms_of(file)}) == ARMS.get(file.stem, 3)


@every_sweep
def test_the_header_gives_the_claim_the_command_and_the_finding(file: Path) -> None:
    first, *header = re.findall(r"^#.*", file.read_text(), re.M)
    assert first == "# @package _global_" and header[0].startswith("# Claim: ")
    assert any(re.match(rf"#   mixlab-train -m .*\bclaim={file.stem}\b", line) for line in header)
    assert any(line.startswith("# Found") for line in header)
    folder = OmegaConf.to_container(OmegaConf.load(file), resolve=False)["hydra"]["sweep"]["dir"]
    assert folder.endswith(f"/sweeps/${{task_name}}_{file.stem}")


def test_a_claim_is_tested_and_the_command_line_goes_first(here: Path, command: Callable) -> None:
    quick = [*SMALL, "logger=none", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    words = ["-m", "claim=probability", "hydra/launcher=basic", *quick]
    said = command("train", *words, "mixing.probability=0.5", "seed=3")
    assert said.status == 0, said.err
    assert said.out.startswith("3 runs, listed in logs/sweeps/train_probability/sweep.json")
    runs = read_json(here / "logs/sweeps/train_probability/sweep.json")["runs"]
    assert {run.rsplit("/", 1)[-1] for run in runs} == {"seed-3"}
    words[1] = "claim=cost"
    said = command("train", *words, "seed=3", "mixing=none")
    assert said.out.startswith("1 run, 1 of them finished"), "sweeps share their runs"


def test_a_sweep_is_no_single_run(here: Path, command: Callable) -> None:
    said = command("train", "claim=probability")
    assert said.status == 2
    assert "claim=probability makes several runs: give it with -m" in said.sentence
    assert "choose one of cost, cutmix_or_cutout" in command("train", "-m", "claim=x").sentence


def test_a_sweep_of_ones_own_is_checked_as_the_command_line_is(
    here: Path, command: Callable
) -> None:
    (here / "conf/claim").mkdir(parents=True)
    file = here / "conf/claim/mine.yaml"
    params = "hydra: {sweeper: {params: {mixing.probabilty: '0.5,1'}}}\n"
    file.write_text("# @package _global_\n" + params)
    said = command("train", "--config-dir=conf", "-m", "claim=mine")
    assert said.status == 2 and "did you mean mixing.probability?" in said.sentence
    file.write_text("# @package _global_\ntrainer: {max_epoch: 3}\n")
    said = command("train", "--config-dir=conf", "-m", "claim=mine")
    assert said.status == 2 and "did you mean trainer.max_epochs?" in said.sentence
