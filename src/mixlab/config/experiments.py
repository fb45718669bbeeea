"""What an experiment says of data and mixing, for a command that trains nothing."""

from collections.abc import Callable, Sequence

from omegaconf import DictConfig

# Groups of mixlab-train that mixlab-preview has, too.
COMMON_GROUPS = ("data", "model", "mixing", "augmentation")
TAKEN = (*COMMON_GROUPS, "seed")

Load = Callable[[str, list[str]], DictConfig]  # composes a configuration by its name, from words


def load_preview(load: Load, words: Sequence[str]) -> DictConfig:
    """The configuration of mixlab-preview, with what `experiment=...` says of its groups.

    What is given beside the experiment has precedence, as in a training.
    """
    experiment = [word for word in words if word.startswith("experiment=")]
    others = [word for word in words if word not in experiment]
    if not experiment:
        return load("preview", others)
    taken = [word for word in others if word.lstrip("+~").partition("=")[0].split(".")[0] in TAKEN]
    train = load("train", [*experiment, *taken])
    choices = [f"{group}={train.hydra.runtime.choices[group]}" for group in COMMON_GROUPS]
    cfg = load("preview", [*choices, *(word for word in others if word not in taken)])
    for key in TAKEN:
        cfg[key] = train[key]
    cfg.hydra.overrides.task = [*others, *experiment]
    return cfg
