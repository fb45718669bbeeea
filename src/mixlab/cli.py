"""From the command line to a plain function, and from an error to one sentence.

Hydra ends with status 1 and a traceback, or with advice to add the misspelt key; here what a user
can cause is one sentence and status 2, and what only we can cause keeps its traceback and status 1.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mixlab.config.allowlist import check_allow, check_hydra
from mixlab.config.checks import prepare
from mixlab.config.explain import explain, unknown_choice
from mixlab.config.keys import OPEN_GROUPS, config_dir, is_knob
from mixlab.errors import UserError, exit_status

ONE_AT_A_TIME = {
    "evaluate": "it tests one run: leave out -m and call it for each, "
    "as in for run in logs/runs/*/*/seed-*; do mixlab-evaluate run=$run; done",
    "preview": "it draws one picture: leave out -m and call it for each, with its own output=...",
}


class Loader(ConfigLoaderImpl):
    """Hydra's loader, that looks at what Hydra would call before Hydra does.

    Callbacks and logging are made from the node `hydra`, which a stranger's file may set, before
    any task gets to see the configuration.
    """

    def load_configuration(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, **kwargs: Any
    ) -> DictConfig:
        if run_mode == RunMode.MULTIRUN and config_name in ONE_AT_A_TIME:
            raise UserError(ONE_AT_A_TIME[config_name])
        knobs = [word for word in overrides if run_mode == RunMode.MULTIRUN and is_knob(word)]
        others = [word for word in overrides if word not in knobs]
        cfg = super().load_configuration(config_name, others, run_mode, **kwargs)
        cfg.hydra.overrides.task.extend(knobs)  # each arm's own method has them or has not
        # Without a name it is for --hydra-help, which has no job and sets up no logging of one.
        logging = ("job_logging", "hydra_logging") if config_name else ("hydra_logging",)
        check_hydra(cfg.hydra, trusted(cfg), logging)
        for group, choice in cfg.hydra.runtime.choices.items():
            if str(choice).startswith("_"):
                raise UserError(unknown_choice(group, choice, self.get_group_options(group)))
        return cfg

    def get_group_options(self, group_name: str, *args: Any, **kwargs: Any) -> list[str]:
        """The choices of a group, without the files that others are built on (`_base`)."""
        options = super().get_group_options(group_name, *args, **kwargs)
        return [option for option in options if option[:1] != "_"]

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        cfg = super().load_sweep_config(master_config, sweep_overrides)
        if cfg.get("allow") != master_config.get("allow"):  # the words of a job may be a file's
            raise UserError("allow is for a whole sweep; give it on the command line")
        return cfg


def trusted(cfg: DictConfig) -> list[str]:
    """The packages that may be called: only the command line and the program's own file say so."""
    allow: Any = cfg.get("allow") or []
    allow = OmegaConf.to_container(allow) if OmegaConf.is_config(allow) else allow
    words = [word.lstrip("+").partition("=")[0] for word in cfg.hydra.overrides.task]
    own = config_dir() / f"{cfg.hydra.job.config_name}.yaml"
    of_own = OmegaConf.select(OmegaConf.load(own), "allow") if own.is_file() else None
    given = "allow" in words or of_own == allow
    check_allow(allow, given)
    return allow


def run_hydra(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose `config_name` from the command line, check it, and call `task` with it."""

    def checked(cfg: DictConfig) -> Any:
        try:
            check_sweep(HydraConfig.get())
            return task(prepare(cfg, HydraConfig.get()))
        except Exception as error:
            explain(error, config_name)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher goes on with the next job
            exit_with(exit_status(error))

    if "HYDRA_FULL_ERROR" not in os.environ:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints the error itself and exits with 1
    hydra._internal.hydra.ConfigLoaderImpl = Loader  # pyright: ignore
    words = map(whole_node, sys.argv[1:])
    sys.argv[1:] = sorted(words, key=is_override)  # argparse wants them together
    path = str(config_dir())
    main = hydra.main(config_path=path, config_name=config_name, version_base="1.3")(checked)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        explain(error, config_name)
        exit_with(exit_status(error))


def exit_with(code: int) -> None:
    """End the program; at once where nothing has begun, for Python takes a second to end torch."""
    sys.stdout.flush()
    sys.stderr.flush()
    if "pytorch_lightning" not in sys.modules:
        os._exit(code)
    sys.exit(code)


def is_override(word: str) -> bool:
    """Whether a word of the command line is `key=value`, `+key=value` or `~key`."""
    return word[:1] != "-" and ("=" in word or word[:1] == "~")


def whole_node(word: str) -> str:
    """`model.loss={...}` and `model.loss._target_=...` as `++...`: what they call has its own keys.

    In an open group that would be a new node, so a misspelt name there is left to be refused.
    """
    key, _, value = word.partition("=")
    opens = key.endswith("._target_") and key.split(".")[0] not in OPEN_GROUPS
    return f"++{word}" if key[:1].isalpha() and (opens or value[:1] == "{") else word


def check_sweep(hydra_cfg: Any) -> None:
    """Raise ValueError if a sweep is chosen for a single run, which would ignore it."""
    name = hydra_cfg.runtime.choices.get("claim")
    if name is not None and hydra_cfg.mode == RunMode.RUN:
        raise UserError(f"claim={name} makes several runs: give it with -m, mixlab-train -m ...")
