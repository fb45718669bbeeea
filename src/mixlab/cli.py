"""From the command line to a plain function, and from an error to one sentence.

An error that a user can cause is one sentence and status 2; a defect of ours keeps its traceback
and status 1. Hydra alone prints a traceback for both, or advises to add the misspelled key.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.mixlab.plugins import store_ours
from mixlab.config.allowlist import check_allow, check_hydra
from mixlab.config.checks import prepare
from mixlab.config.experiments import load_preview
from mixlab.config.explain import explain, unknown_choice
from mixlab.config.keys import OPEN_GROUPS, config_dir, is_knob
from mixlab.config.plugins import check_plugins
from mixlab.errors import Told, UserError, exit_status, short_cautions, train_extra
from mixlab.training.ranks import launched

ONE_AT_A_TIME = {
    "evaluate": "mixlab-evaluate makes no sweep: give several runs without -m, as a folder above "
    "them, a glob or a list: run='logs/runs/*/*/seed-*'",
    "preview": "mixlab-preview draws one picture: give one value for each key without -m, and call "
    "it again for the next with its own output=...",
}


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which checks the classes that Hydra would call before Hydra calls them.

    Hydra builds its callbacks and logging from the node `hydra` before any task sees the
    configuration, and a file from someone else may set that node.
    """

    def load_configuration(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, **kwargs: Any
    ) -> DictConfig:
        if run_mode == RunMode.MULTIRUN and config_name in ONE_AT_A_TIME:
            raise UserError(ONE_AT_A_TIME[config_name])
        if not kwargs.get("validate_sweep_overrides", True) and not self.may_set_mode(overrides):
            return OmegaConf.create({"hydra": {"mode": None}})  # all that Hydra asks for first
        store_ours()
        check_ranks(run_mode, config_name)
        knobs = [word for word in overrides if run_mode == RunMode.MULTIRUN and is_knob(word)]
        others = [word for word in overrides if word not in knobs]

        def load(name: str | None, words: list[str]) -> DictConfig:
            return super(Loader, self).load_configuration(name, words, run_mode, **kwargs)

        is_preview = config_name == "preview"
        cfg = load_preview(load, others) if is_preview else load(config_name, others)
        cfg.hydra.overrides.task.extend(knobs)  # checked against each arm's method
        # Without a name it is for --hydra-help, which has no job and no job logging.
        logging = ("job_logging", "hydra_logging") if config_name else ("hydra_logging",)
        check_hydra(cfg.hydra, trusted(cfg), logging)
        check_plugins(cfg.hydra)
        for group, choice in cfg.hydra.runtime.choices.items():
            if str(choice).startswith("_"):
                raise UserError(unknown_choice(group, choice, self.get_group_options(group)))
        return cfg

    def may_set_mode(self, overrides: Sequence[str]) -> bool:
        """Whether `hydra.mode` may have a value: from the command line, or a file not of ours.

        Hydra composes everything to see that, before it composes everything to work with it.
        """
        places = {each.path for each in self.get_search_path().get_path()}
        return any("hydra" in word for word in overrides) or not places <= {
            f"file://{config_dir()}", str(config_dir()), "pkg://hydra.conf", "structured://"
        }  # fmt: skip

    def get_group_options(self, group_name: str, *args: Any, **kwargs: Any) -> list[str]:
        """The choices of a group, without the files that others are built on (`_base`)."""
        options = super().get_group_options(group_name, *args, **kwargs)
        return [option for option in options if option[:1] != "_"]

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        cfg = super().load_sweep_config(master_config, sweep_overrides)
        if cfg.get("allow") != master_config.get("allow"):  # a job's overrides may come from a file
            raise UserError("allow is for a whole sweep; give it on the command line")
        return cfg


def trusted(cfg: DictConfig) -> list[str]:
    """The packages that may be called: only the command line and our own file can allow them."""
    allow: Any = cfg.get("allow") or []
    allow = OmegaConf.to_container(allow) if OmegaConf.is_config(allow) else allow
    words = [word.lstrip("+").partition("=")[0] for word in cfg.hydra.overrides.task]
    own = config_dir() / f"{cfg.hydra.job.config_name}.yaml"
    of_own = OmegaConf.select(OmegaConf.load(own), "allow") if own.is_file() else None
    check_allow(allow, "allow" in words or of_own == allow)
    return allow


def run_hydra(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose `config_name` from the command line, check it, and call `task` with it."""

    def checked(cfg: DictConfig) -> Any:
        short_cautions()  # a job of a sweep has a process of its own
        try:
            check_sweep(HydraConfig.get())
            with train_extra("the command"):
                return task(prepare(cfg, HydraConfig.get()))
        except Exception as error:
            status = report(error, config_name)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher continues with the next job
            exit_with(status)

    if "HYDRA_FULL_ERROR" not in os.environ:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra prints the error and exits with 1
    hydra._internal.hydra.ConfigLoaderImpl = Loader  # pyright: ignore
    words = whole_nodes(sys.argv[1:])
    sys.argv[1:] = sorted(words, key=is_override)  # argparse wants them together
    path = str(config_dir())
    main = hydra.main(config_path=path, config_name=config_name, version_base="1.3")(checked)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        exit_with(report(error, config_name))


def report(error: Exception, config_name: str) -> int:
    """Print an error, of several ranks with the same one only once; returns the exit status."""
    if isinstance(error, Told):
        return error.exit_status
    launch = launched()
    if launch is None or not launch.is_several:
        explain(error, config_name)
        return exit_status(error)
    from mixlab.training.together import stop_together

    return stop_together(error, launch, config_name)


def check_ranks(mode: RunMode, config_name: str | None) -> None:
    """Raise UserError if several ranks were started for what one process does."""
    launch = launched()
    if launch is None or not launch.is_several:
        return
    if mode == RunMode.MULTIRUN:
        raise UserError(
            f"{launch.launcher} started {launch.world_size} ranks, and each would make the whole "
            "sweep; start mixlab-train -m alone, and it starts the ranks of each run itself"
        )
    if config_name not in (None, "train"):
        raise UserError(
            f"{launch.launcher} started {launch.world_size} ranks, and mixlab-{config_name} runs "
            "in one process; start it alone"
        )


def exit_with(code: int) -> None:
    """End the program; at once before training has begun, as Python takes a second to end torch."""
    sys.stdout.flush()
    sys.stderr.flush()
    if "pytorch_lightning" not in sys.modules:
        os._exit(code)
    sys.exit(code)


def is_override(word: str) -> bool:
    """Whether a word of the command line is `key=value`, `+key=value` or `~key`."""
    return word[:1] != "-" and ("=" in word or word[:1] == "~")


def whole_nodes(words: Sequence[str]) -> list[str]:
    """Mark `model.loss={...}`, `model.loss._target_=...` and what is below it with `++`.

    What they call has its own keys, which are checked later. In an open group that would be a new
    node, so a misspelled name there is left to be refused.
    """
    keys = [word.partition("=")[0] for word in words]
    called = [
        key.lstrip("+").removesuffix("_target_")
        for key in keys
        if key.endswith("._target_") and (key[:1] == "+" or key.split(".")[0] not in OPEN_GROUPS)
    ]
    return [
        f"++{word}"
        if key[:1].isalpha() and (key.startswith(tuple(called)) or word[len(key) + 1 :][:1] == "{")
        else word
        for word, key in zip(words, keys, strict=True)
    ]


def check_sweep(hydra_cfg: Any) -> None:
    """Raise UserError if a sweep is chosen for a single run, which would ignore it."""
    for group in ("claim", "hparams_search"):
        name = hydra_cfg.runtime.choices.get(group)
        if name is not None and hydra_cfg.mode == RunMode.RUN:
            raise UserError(
                f"{group}={name} makes several runs: give it with -m, mixlab-train -m ..."
            )
