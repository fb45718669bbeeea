"""An error of Hydra, OmegaConf or our own as one sentence for users."""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException

from mixlab.config.keys import (
    choices_with,
    config_dir,
    is_of_the_user,
    leaves,
    nearest_name,
    unknown_key,
)
from mixlab.errors import HYDRA_SAYS_NO_CHOICE, is_user_error, print_error

PACKAGE = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # what people take for a choice of a group, and how it is said
    "data": "images of your own are data=folder data.path=...",
    "model": "a model of timm's is model=timm model.name={name}",
    "hydra/launcher": "for a SLURM cluster, hydra/launcher=slurm; joblib needs pip install "
    "hydra-joblib-launcher",
    "debug": "debug=limit trains two short epochs",
}


def explain(error: Exception, config_name: str = "train") -> None:
    """Print an error: one sentence where a user can fix it, else the whole traceback.

    An error in the user's own code begins with their line: the traceback starts in ours.
    """
    if not is_user_error(error) or os.environ.get("MIXLAB_TRACEBACK"):
        if (place := users_line(error)) and not is_user_error(error):
            print_error(Path(sys.argv[0]).stem, f"{place}: {type(error).__name__}: {error}")
        traceback.print_exception(error)
    else:
        print_error(Path(sys.argv[0]).stem, sentence(error, config_name))


def users_line(error: BaseException) -> str | None:
    """`mylab.py, line 12`: the last line of the user's own code in a traceback."""
    installed = ("site-packages", "dist-packages", os.path.dirname(os.__file__), str(PACKAGE))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(folder in frame.filename for folder in installed) and frame.filename[:1] != "<":
            return f"{os.path.relpath(frame.filename)}, line {frame.lineno}"
    return None


def sentence(error: BaseException, config_name: str = "train") -> str:
    """An error in one paragraph, with the nearest key or choice where a name was misspelled."""
    text = str(error) or type(error).__name__
    if text.startswith("Caught ") and " in DataLoader worker " in text:  # with its traceback
        text = text.strip().rpartition("\n")[2].partition(": ")[2]
    if "BasicSweeper does not support" in text:
        return (
            "interval(...) is for a search: add hparams_search=mixing_optuna, which needs "
            "pip install 'mixlab[optuna]', or give the values, as in mixing.probability=0.5,1"
        )
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return unknown_choice(group, name, error.options)
    if missing := re.search(r"Could not load '(\w+)/([^']+)'", text):  # one of a list
        group, name = missing.groups()
        return unknown_choice(
            group, name, sorted(x.stem for x in (config_dir() / group).glob("*.yaml"))
        )
    if key := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        name, known = key[1].split("@")[0], known_keys(config_name)
        there = f"{name} is not there any more: ~ has taken it out"
        return there if name in known else unknown_key(name, known) + way_to_add(name, known)
    if inner := re.search(r"raised while resolving interpolation: ([^\n]*)", text):
        return f"{getattr(error, 'full_key', None) or 'a value'}: {inner[1]}"
    if several := re.search(r"Ambiguous value for argument '([^']+)'", text):
        if config_name == "evaluate" and several[1].startswith("run="):
            return f"{several[1]} gives several values; give a list: run=[{several[1][4:]}]"
        if config_name != "train":
            return f"{several[1]} gives several values; mixlab-{config_name} takes one in each call"
        return f"{several[1]} gives several values, which makes a sweep: add -m"
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if lost := re.search(r"monitor='([^']+)'\)\W+could not find .* metrics: \[(.*?)\]", text):
        logged = [name for name in re.findall(r"'([^']+)'", lost[2]) if name[:7] != "mixing/"]
        names = ", ".join(name for name in logged if name not in ("epoch", "step")) or "nothing"
        return (
            f"the best checkpoint is chosen by {lost[1]}, but the model logs {names}; log "
            f"{lost[1]} in validation_step, or set callbacks.best.monitor to what is logged"
        )
    if "Only one of --run" in text:
        return "--cfg and --help tell of one run: leave -m out"
    if "No supported gpu backend found" in text:
        return "trainer.accelerator=gpu, but there is no GPU here; use trainer=cpu"
    if HYDRA_SAYS_NO_CHOICE in text:
        return (
            "a group takes the name of one of its files: logger=none, say, instead of logger=null"
        )
    return " ".join(text.split())


def unreadable(word: str) -> str:
    """The sentence for a word of the command line that Hydra cannot read."""
    key, _, value = word.partition("=")
    if not value or value[0] in "[{'\"":
        return (
            f"{word!r} is not key=value, or a quote or bracket in it is not closed; braces with "
            "spaces need quotes around key and value: 'key={name: value}'"
        )
    quoted = value.replace('"', '\\"')
    return (
        f"the value in {word} has marks that Hydra reads as its own; put it into quotes inside "
        f"those of the shell: '{key}=\"{quoted}\"'"
    )


def way_to_add(key: str, known: Sequence[str]) -> str:
    """How to pass an argument of a library's class, or a value of one's own, if that is meant."""
    if choices_with(key):
        return ""
    if key.split(".")[0] in ("trainer", "optimizer", "scheduler") and "." in key:
        return f"; +{key}=... passes an argument that is not listed"
    if (config_dir() / key).is_dir():
        return f"; {key}=... is for mixlab-{'evaluate' if key == 'tta' else 'train'}"
    own = "." not in key and is_of_the_user(key, {name.split(".")[0] for name in known})
    return f"; +{key}=... records a value of your own" if own else ""


def unknown_choice(group: str, name: str, options: Sequence[str]) -> str:
    """The sentence for a misspelled choice, or for a file that others are built on (`_base`)."""
    options = [option for option in options if option[:1] != "_"]
    nearest = nearest_name(name, options)
    hint = f"did you mean {nearest}? " if nearest else ""
    other = f"; {ELSEWHERE[group].format(name=name)}" if group in ELSEWHERE else ""
    own = "" if "--config-dir" in " ".join(sys.argv) else "; files of your own need --config-dir"
    return f"{group}={name} is not a choice; {hint}choose one of {', '.join(options)}{other}{own}"


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
