"""From the overrides of a multirun to a list of runs."""

from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from helpers.planned_jobs import planned
from mixlab.runs import run_folder
from mixlab.sweeps import grid


def parsed(*words: str) -> list[Any]:
    return OverridesParser.create().parse_overrides(list(words))


def arms(*words: str) -> list[list[str]]:
    return grid.arms(parsed(*words), BasicSweeper.split_arguments)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mixing=none"], None),
        (["seeds=3"], [0, 1, 2]),
        (["seed=4"], [4]),
        (["seed=4,2,7"], [4, 2, 7]),
        (["seed=range(3)"], [0, 1, 2]),
    ],
)
def test_seeds(words: list[str], expected: list[int] | None) -> None:
    assert grid.requested_seeds(parsed(*words)) == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seeds=0"], "whole number above 0, got 0; seeds=5, say"),
        (["seeds=many"], "whole number above 0, got 'many'"),
        (["seeds=true"], "whole number above 0, got True"),
        (["seeds=2", "seed=1"], "say the same thing twice"),
        (["seed=1,x"], "integer from 0 to 2\\*\\*32 - 1, got x"),
        (["seed=-1"], "got -1"),
        (["seed=4294967296"], "got 4294967296"),
    ],
)
def test_seeds_that_cannot_be(words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        grid.requested_seeds(parsed(*words))


def test_arms_are_the_cross_product_of_all_but_the_seed() -> None:
    assert arms("mixing=none,mixup", "seeds=5", "data=digits", "mixing.probability=0.5,1") == [
        ["mixing=none", "data=digits", "mixing.probability=0.5"],
        ["mixing=none", "data=digits", "mixing.probability=1"],
        ["mixing=mixup", "data=digits", "mixing.probability=0.5"],
        ["mixing=mixup", "data=digits", "mixing.probability=1"],
    ]


def test_arms_with_knobs_of_their_own() -> None:
    grid = "arms={none:{},mixup:{method.alpha:[0.2,1]},cutmix:{probability:[0.5],gate:batch}}"
    assert arms("model=cnn,resnet20", grid)[:4] == [
        ["model=cnn", "mixing=none"],
        ["model=cnn", "mixing=mixup", "mixing.method.alpha=0.2"],
        ["model=cnn", "mixing=mixup", "mixing.method.alpha=1"],
        ["model=cnn", "mixing=cutmix", "mixing.probability=0.5", "mixing.gate=batch"],
    ]
    assert len(arms("model=cnn,resnet20", grid)) == 8


def test_arms_with_several_sets_of_knobs_and_knobs_outside_of_mixing() -> None:
    grid = "arms={none:[{},{/augmentation:cutout,/augmentation.fill:[black,gray]}],cutmix:{}}"
    assert arms(grid) == [
        ["mixing=none"],
        ["mixing=none", "augmentation=cutout", "augmentation.fill=black"],
        ["mixing=none", "augmentation=cutout", "augmentation.fill=gray"],
        ["mixing=cutmix"],
    ]


def test_the_command_line_replaces_what_a_sweeps_configuration_says() -> None:
    of_config = parsed("mixing=none,mixup", "seeds=6", "mixing.probability=0.5,1")
    merged = grid.merged(of_config, parsed("data=digits", "seed=3", "mixing=cutmix"))
    words = [override.input_line for override in merged]
    assert words == ["mixing.probability=0.5,1", "data=digits", "seed=3", "mixing=cutmix"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("failed", ("failed",)),
        ("failed,diverged", ("failed", "diverged")),
        ("[failed,diverged]", ("failed", "diverged")),
        ("all", ("failed", "diverged", "pruned")),
        ("null", ()),
    ],
)
def test_what_is_to_be_tried_again(word: str, expected: tuple[str, ...]) -> None:
    overrides = parsed(f"retry={word}", "mixing=none")
    assert grid.retried(overrides) == expected
    assert grid.arms(overrides, BasicSweeper.split_arguments) == [["mixing=none"]]


def test_what_cannot_be_tried_again() -> None:
    with pytest.raises(ValueError, match="must be failed, diverged, pruned or all, got finished"):
        grid.retried(parsed("retry=finished"))


@pytest.mark.parametrize(("value", "word"), [(None, "null"), (True, "true"), (0.5, "0.5")])
def test_values_as_words(value: Any, word: str) -> None:
    assert grid.override_value(value) == word


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [("arms=mixup", "arms maps mixing methods"), ("arms={mixup:3}", "needs its knobs in braces")],
)
def test_arms_that_cannot_be(grid: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        arms(grid)


def test_equal_arms_are_one(tmp_path: Path) -> None:
    jobs = planned(
        tmp_path, [0, 1],
        ["mixing=none", "mixing.probability=0.5"], ["mixing=none", "mixing.probability=1"],
        ["mixing=cutmix", "mixing.method.alpha=1"], ["mixing=cutmix", "mixing.method.alpha=1.0"],
    )  # fmt: skip
    assert len({job.folder for job in jobs}) == len(jobs) == 4
    assert [(job.seed, job.arm.mixing is None) for job in jobs] == [
        (0, True), (0, False), (1, True), (1, False),
    ]  # fmt: skip
    assert list(jobs[-1]) == ["mixing=cutmix", "mixing.method.alpha=1", "seed=1"]


def test_values_that_are_the_same_arm_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned(tmp_path, [0, 1], *(["mixing=deit"], ["mixing=convnext"], ["mixing=mixup"]))
    assert capsys.readouterr().out == "convnext is the same arm as deit; trained once\n"
    alphas = [["mixing=cutmix", f"mixing.method.alpha={value}"] for value in ("1", "1.0")]
    planned(tmp_path, [0], ["mixing=none", "seed=3"], ["mixing=none"], *alphas)
    assert capsys.readouterr().out == (
        "mixing.method.alpha=1.0 is the same arm as mixing.method.alpha=1; trained once\n"
    )


def test_without_seeds_the_configurations_own(tmp_path: Path) -> None:
    (job,) = planned(tmp_path, None, ["seed=9"])
    assert job.config.seed == job.seed == 9 and job.folder.name == "seed-9"
    assert job.folder == run_folder(job.config)
