"""Every mixing method there is a file for, ours and those of a `--config-dir`."""

from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from mixlab.cli import load
from mixlab.config import build, config_dir


def methods(cfg: DictConfig) -> dict[str, Any]:
    """The methods of the files in `mixing/`, by the files' names; not those that mix nothing."""
    nodes = mixing_nodes()
    return {name: build(node, allow=cfg.allow) for name, node in nodes.items()}


def mixing_nodes() -> dict[str, DictConfig]:
    """The `method` node of each file that the command finds."""
    if GlobalHydra.instance().is_initialized():
        return nodes_found()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return nodes_found()


def nodes_found() -> dict[str, DictConfig]:
    loader = GlobalHydra.instance().config_loader()
    names = loader.get_group_options("mixing")
    nodes = {name: load(loader, "preview", (f"mixing={name}",)).mixing.method for name in names}
    return {name: node for name, node in nodes.items() if node.get("_target_")}
