"""What `pip install mixlab` brings, and what is said where `mixlab[train]` is missing."""

import re
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from helpers.without import BESIDE_LIGHTNING, run_without
from mixlab.errors import OF_TRAIN, MissingExtra, train_extra

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
COMMANDS = {name.removeprefix("mixlab-"): path for name, path in PROJECT["scripts"].items()}
START = "import sys; from mixlab.commands import start; sys.argv[0] = 'mixlab-{0}'; start('{0}')"
SENTENCE = r"needs \w+, which is not installed; pip install 'mixlab\[train\]'"


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", each)[0].lower() for each in requirements}


def test_without_extras_it_is_light() -> None:
    assert named(PROJECT["dependencies"]) == {"torch", "numpy"}


def test_the_extra_is_what_a_missing_library_is_held_against() -> None:
    homes = packages_distributions()
    extra = PROJECT["optional-dependencies"]["train"]
    assert {homes[name][0].lower() for name in OF_TRAIN} == named(extra)
    others = {"dev", "tensorboard", "optuna", "ray", "shards", "medmnist"}
    for name, requirements in PROJECT["optional-dependencies"].items():
        assert requirements[0].startswith("mixlab[train") == (name in others), name


def test_every_command_begins_here() -> None:
    assert set(COMMANDS) == {"train", "evaluate", "preview", "compare", "sweep", "check"}
    for name, path in COMMANDS.items():
        module, _, attribute = path.partition(":")
        assert getattr(import_module(module), attribute).args == (name,)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"check"}))  # which needs torch alone
def test_a_command_without_the_extra_is_one_sentence(name: str) -> None:
    words = {"compare": ["logs"], "sweep": ["status", "logs"]}.get(name, [])
    done = run_without(OF_TRAIN, START.format(name), *words)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(f"mixlab-{name}: the command {SENTENCE}\n", done.stderr)


def test_a_part_of_the_extra_that_is_missing(here: Path) -> None:
    """In a project that has Hydra of its own, say."""
    done = run_without(["pytorch_lightning"], START.format("train"), "mixing=none")
    assert done.returncode == 2
    assert re.fullmatch(f"mixlab-train: mixlab.callbacks {SENTENCE}\n", done.stderr)


@pytest.mark.slow
def test_callbacks_need_lightning_alone() -> None:
    program = "from mixlab.callbacks import *; print(MixingCallback.__name__)"
    done = run_without(BESIDE_LIGHTNING, program)
    assert done.stdout == "MixingCallback\n", done.stderr
    done = run_without(["pytorch_lightning"], program)
    assert re.search(f"mixlab.callbacks {SENTENCE}\n$", done.stderr)


def test_a_library_that_the_extra_does_not_bring_is_as_it_was() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_there'"):
        with train_extra("the command"):
            import_module("not_there")
    with pytest.raises(MissingExtra), train_extra("the command"):
        raise ModuleNotFoundError("No module named 'timm.data'", name="timm.data")
