"""From the command line to a plain function, and from an error to one sentence.

Hydra ends with status 1 and a traceback, or with advice to add the misspelt key; here what a user
can cause is one sentence and status 2, and what only we can cause keeps its traceback and status 1.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra
import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixlab.allowed import check_allow, check_hydra, check_targets
from mixlab.complaint import say
from mixlab.config import (
    absolute_paths,
    canonical,
    check_keys,
    check_present,
    config_dir,
    leaves,
    nearest_name,
    unknown_key,
)
from mixlab.recorded import check_secrets
from mixlab.runs.provenance import first_file
from mixlab.values import check_values

NO_CHOICE = "Config group override must be"  # as Hydra answers logger=null
HYDRAS = (NO_CHOICE, "Only one of --run")  # its ValueErrors that are the user's to mend
ELSEWHERE = {  # what people take for a choice of a group, and how it is said
    "data": "images of your own are data=folder data.path=...",
    "model": "a model of timm's is model=timm model.name={name}",
}
PACKAGE = Path(__file__).resolve().parent


class Loader(ConfigLoaderImpl):
    """Hydra's loader, that looks at what Hydra would call before Hydra does.

    Callbacks and logging are made from the node `hydra`, which a stranger's file may set, before
    any task gets to see the configuration.
    """

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = super().load_configuration(*args, **kwargs)
        check_hydra(cfg.hydra, trusted(cfg))
        return cfg

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        cfg = super().load_sweep_config(master_config, sweep_overrides)
        if cfg.get("allow") != master_config.get("allow"):  # the words of a job may be a file's
            raise ValueError("allow is for a whole sweep; give it on the command line")
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


def run(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose `config_name` from the command line, check it, and call `task` with it."""

    def checked(cfg: DictConfig) -> Any:
        try:
            check_sweep(HydraConfig.get())
            return task(prepare(cfg, HydraConfig.get()))
        except Exception as error:
            explain(error, config_name)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher goes on with the next job
            leave(status(error))

    if "HYDRA_FULL_ERROR" not in os.environ:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints the error itself and exits with 1
    hydra._internal.hydra.ConfigLoaderImpl = Loader  # pyright: ignore
    sys.argv[1:] = sorted(sys.argv[1:], key=is_override)  # argparse wants them together
    path = str(config_dir())
    main = hydra.main(config_path=path, config_name=config_name, version_base="1.3")(checked)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        explain(error, config_name)
        leave(status(error))


def leave(code: int) -> None:
    """End the program; at once where nothing has begun, for Python takes a second to end torch."""
    sys.stdout.flush()
    sys.stderr.flush()
    if "pytorch_lightning" not in sys.modules:
        os._exit(code)
    sys.exit(code)


def is_override(word: str) -> bool:
    """Whether a word of the command line is `key=value`, `+key=value` or `~key`."""
    return word[:1] != "-" and ("=" in word or word[:1] == "~")


def prepare(cfg: DictConfig, hydra_cfg: Any) -> DictConfig:
    """What a task gets: a configuration with legal keys, absolute paths and sound mixing."""
    loader = GlobalHydra.instance().config_loader()
    plain = reference(loader, hydra_cfg)
    check_secrets(cfg)
    check_keys(cfg, plain)
    check_missing(cfg)
    check_present(cfg, plain)
    cfg = canonical(cfg)
    check_values(cfg, plain)
    check_targets(cfg, cfg.get("allow") or ())
    if "paths" in cfg:
        absolute_paths(cfg, Path.cwd())
    if cfg.get("allow"):
        import_from_here()
        for package in cfg.allow:
            first_file(package)  # or there would be a run folder before that is known
    check_mixing(cfg)
    check_model_name(cfg, plain)
    return cfg


def check_sweep(hydra_cfg: Any) -> None:
    """Raise ValueError if a sweep is chosen for a single run, which would ignore it."""
    name = hydra_cfg.runtime.choices.get("sweep")
    if name is not None and hydra_cfg.mode == RunMode.RUN:
        raise ValueError(f"sweep={name} makes several runs: give it with -m, mixlab-train -m ...")


def check_model_name(cfg: DictConfig, plain: DictConfig) -> None:
    """Raise ValueError where another name would not make another network."""
    given, own = (OmegaConf.select(each, "model.name") for each in (cfg, plain))
    if given != own and not cfg.model.network._target_.endswith(".Timm"):
        raise ValueError(
            f"model.name={given} would only rename {own}; for a model of timm's use model=timm "
            f"model.name={given}"
        )


def check_missing(cfg: DictConfig) -> None:
    """Raise ValueError if a value that only the user can give is not given."""
    missing = [key for key, value in leaves(cfg) if value == "???"]
    if missing:
        raise ValueError(
            f"{missing[0]} has no value; give it on the command line: {missing[0]}=..."
        )


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
        if not group.startswith("hydra/") and group not in ("experiment", "sweep", "debug")
    ]
    return load(loader, hydra_cfg.job.config_name, (*choices, *lists(hydra_cfg.overrides.task)))


def lists(overrides: Sequence[str]) -> Iterator[str]:
    """Those that give a group a list of its files, which Hydra leaves out of its choices.

    Raises:
        ValueError: the group takes one; of a list Hydra would use the last, without a word.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if value.startswith("[") and (config_dir() / group).is_dir():
            if group not in ("callbacks", "logger"):
                raise ValueError(
                    f"{group} takes one choice, got {value}; for a run of each: "
                    f"-m {group}={value[1:-1]}"
                )
            yield override


@lru_cache(maxsize=16)  # the arms of a sweep differ in values more often than in choices
def load(loader: ConfigLoader, config_name: str, overrides: tuple[str, ...]) -> DictConfig:
    """Compose without the node `hydra`; to be read only."""
    cfg = loader.load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)
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
    with named("mixing.method."):
        build(node.pop("method"), allow=cfg.get("allow", ()))
    devices = OmegaConf.select(cfg, "trainer.devices")
    ranks = devices if isinstance(devices, int) and devices > 1 else 1
    if cfg.data.get("batch_size") in range(ranks, 2 * ranks):
        raise ValueError(
            f"data.batch_size={cfg.data.batch_size} leaves a row no partner to mix with; "
            f"use {2 * ranks} or more"
        )
    if node.pop("_target_") == "mixlab.callbacks.MixingCallback":
        knobs = Policy.__dataclass_fields__
        with named("mixing."):
            Policy(**{key: value for key, value in node.items() if key in knobs})


@contextmanager
def named(prefix: str) -> Iterator[None]:
    """Put the place of a knob before its name, where a message begins with that."""
    try:
        yield
    except ValueError as error:
        knob = re.match(r"[a-z_]+ must ", str(error))
        raise ValueError(f"{prefix}{error}" if knob else str(error)) from None


def explain(error: Exception, config_name: str = "train") -> None:
    """Print an error: one sentence where a user can mend it, else all of it."""
    if not is_users(error) or os.environ.get("MIXLAB_TRACEBACK"):
        traceback.print_exception(error)
    else:
        say(Path(sys.argv[0]).stem, sentence(error, config_name))


def status(error: Exception) -> int:
    """The exit status: 3 of a diverged run, 2 where a user can mend it, 128 + n after signal n."""
    if own := getattr(error, "exit_status", None):
        return own
    signum = getattr(error, "signum", None)
    return 128 + signum if signum else 2 if is_users(error) else 1


def is_users(error: BaseException) -> bool:
    """Whether the message was written for users: by our own code, Hydra or Lightning's checks."""
    if isinstance(error, (HydraException, OmegaConfBaseException, YAMLError)):
        return True
    if type(error).__name__ in ("MisconfigurationException", "Interrupted"):
        return True
    if isinstance(error, ValueError) and any(text in str(error) for text in HYDRAS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(PACKAGE)
    return ours and isinstance(error, (ValueError, OSError, RuntimeError))


def sentence(error: BaseException, config_name: str = "train") -> str:
    """An error in one paragraph, with the nearest key or choice where a name was misspelt."""
    text = str(error) or type(error).__name__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return unknown_choice(group, name, error.options)
    if key := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        name, known = key[1].split("@")[0], known_keys(config_name)
        there = f"{name} is not there any more: ~ has taken it out"
        return there if name in known else unknown_key(name, known)
    if inner := re.search(r"raised while resolving interpolation: ([^\n]*)", text):
        return f"{getattr(error, 'full_key', None) or 'a value'}: {inner[1]}"
    if several := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{several[1]} gives several values, which makes a sweep: add -m"
    if bad := re.search(r"Error parsing override '([^']*)'", text):
        return f"{bad[1]!r} is not key=value, or a quote or bracket in it is not closed"
    if "Only one of --run" in text:
        return "--cfg and --help tell of one run: leave -m out"
    if "No supported gpu backend found" in text:
        return "trainer.accelerator=gpu, but there is no GPU here; use trainer=cpu"
    if NO_CHOICE in text:
        return (
            "a group takes the name of one of its files: logger=none, say, instead of logger=null"
        )
    return " ".join(text.split())


def unknown_choice(group: str, name: str, options: Sequence[str]) -> str:
    """The sentence for a misspelt choice."""
    nearest = nearest_name(name, options)
    hint = f"did you mean {nearest}? " if nearest else ""
    other = f"; {ELSEWHERE[group].format(name=name)}" if group in ELSEWHERE else ""
    return f"{group}={name} is not a choice; {hint}there are {', '.join(options)}{other}"


def known_keys(config_name: str) -> list[str]:
    """The keys and groups of a configuration with the group choices of this command line."""
    from hydra import compose, initialize_config_dir

    words = [word for word in sys.argv[1:] if re.fullmatch(r"[a-z_/]+=[\w.-]+", word)]
    groups = [word for word in words if (config_dir() / word.split("=")[0]).is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            cfg = compose(config_name, overrides=groups)
        except HydraException:
            cfg = compose(config_name)
    return [key for key, _ in leaves(cfg)]
