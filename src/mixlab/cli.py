"""From the command line to a plain function, and from an error to one sentence.

Hydra ends with status 1 and a traceback, or with advice to add the misspelt key; here what a user
can cause is one sentence and status 2, and what only we can cause keeps its traceback and status 1.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlab.config import (
    absolute_paths,
    canonical,
    check_keys,
    config_dir,
    leaves,
    nearest_name,
    unknown_key,
)

PACKAGE = Path(__file__).resolve().parent


def run(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose `config_name` from the command line, check it, and call `task` with it."""

    def checked(cfg: DictConfig) -> Any:
        try:
            return task(prepare(cfg, HydraConfig.get()))
        except Exception as error:
            explain(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher goes on with the next job
            sys.exit(status(error))

    if "HYDRA_FULL_ERROR" not in os.environ:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints the error itself and exits with 1
    path = str(config_dir())
    main = hydra.main(config_path=path, config_name=config_name, version_base="1.3")(checked)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        explain(error)
        sys.exit(status(error))


def prepare(cfg: DictConfig, hydra_cfg: Any) -> DictConfig:
    """What a task gets: a configuration with legal keys, absolute paths and sound mixing."""
    loader = GlobalHydra.instance().config_loader()
    check_keys(cfg, reference(loader, hydra_cfg))
    cfg = canonical(cfg)
    check_missing(cfg)
    if "paths" in cfg:
        absolute_paths(cfg, Path.cwd())
    if "seed" in cfg and not (isinstance(cfg.seed, int) and 0 <= cfg.seed < 2**32):
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, got {cfg.seed!r}")
    if cfg.get("allow"):
        import_from_here()
    check_mixing(cfg)
    return cfg


def check_missing(cfg: DictConfig) -> None:
    """Raise ValueError if a value that only the user can give is not given."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ValueError(f"{missing[0]} has no value; give it on the command line: {missing[0]}=...")


def import_from_here() -> None:
    """Let the user's own package beside the command be imported, by other ranks too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = here + (os.pathsep + others if others else "")


def reference(loader: ConfigLoader, hydra_cfg: Any) -> DictConfig:
    """The configuration with the same choices and nothing else: its keys are the legal ones."""
    choices = [
        f"{group}={'null' if choice is None else choice}"
        for group, choice in hydra_cfg.runtime.choices.items()
        if not group.startswith("hydra/") and group not in ("experiment", "debug")
    ]
    return load(loader, hydra_cfg.job.config_name, choices)


def load(loader: ConfigLoader, config_name: str, overrides: list[str]) -> DictConfig:
    """Compose without the node `hydra`."""
    cfg = loader.load_configuration(config_name, overrides, run_mode=RunMode.RUN)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg


def check_mixing(cfg: DictConfig) -> None:
    """Build the method and its policy, which needs torch alone, to see bad values early."""
    if cfg.get("mixing") is None:
        return
    from mixlab.config import build
    from mixlab.mixing import Policy

    node = OmegaConf.to_container(cfg.mixing, resolve=True)
    assert isinstance(node, dict)
    build(node.pop("method"), allow=cfg.get("allow", ()))
    if cfg.data.get("batch_size") == 1:
        raise ValueError("data.batch_size=1 leaves no partner to mix with; use 2 or more")
    if node.pop("_target_") == "mixlab.callbacks.MixingCallback":
        knobs = Policy.__dataclass_fields__
        Policy(**{key: value for key, value in node.items() if key in knobs})


def explain(error: Exception) -> None:
    """Print an error: one sentence where a user can mend it, else all of it."""
    if not is_users(error) or os.environ.get("MIXLAB_TRACEBACK"):
        traceback.print_exception(error)
    else:
        print(f"{Path(sys.argv[0]).stem}: {sentence(error)}", file=sys.stderr, flush=True)


def status(error: Exception) -> int:
    """The exit status: 2 where a user can mend it, 128 + n after signal n, else 1."""
    signum = getattr(error, "signum", None)
    return 128 + signum if signum else 2 if is_users(error) else 1


def is_users(error: BaseException) -> bool:
    """Whether the message was written for users: by our own code, Hydra or Lightning's checks."""
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return True
    if type(error).__name__ in ("MisconfigurationException", "Interrupted"):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(PACKAGE)
    return ours and isinstance(error, (ValueError, OSError, RuntimeError))


def sentence(error: BaseException) -> str:
    """An error in one paragraph, with the nearest key or choice where a name was misspelt."""
    text = "\n".join(str(error).splitlines()) or type(error).__name__
    key = re.search(r"Could not override '([^']+)'", text)
    choice = re.search(r"Could not find '([^']+)/([^'/]+)'.*?Available options[^:]*:(.*)", text, re.S)
    if choice:
        group, name, options = choice[1], choice[2], choice[3].split("\n\nConfig search")[0].split()
        nearest = nearest_name(name, options)
        hint = f"did you mean {nearest}? " if nearest else ""
        return f"{group}={name} is not a choice; {hint}there are {', '.join(options)}"
    if key:
        return unknown_key(key[1].split("@")[0], known_keys())
    return " ".join(text.split())


def known_keys() -> list[str]:
    """The keys and groups of train.yaml with the group choices of this command line."""
    from hydra import compose, initialize_config_dir

    words = [word for word in sys.argv[1:] if re.fullmatch(r"[a-z_/]+=[\w.-]+", word)]
    groups = [word for word in words if (config_dir() / word.split("=")[0]).is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            cfg = compose("train", overrides=groups)
        except HydraException:
            cfg = compose("train")
    return [*leaves(cfg), *(folder.name for folder in config_dir().iterdir() if folder.is_dir())]
