"""Pictures of mixing and augmentation: `mixlab-preview show=...`."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mixlab.cli import run_hydra
from mixlab.config.keys import nearest_name
from mixlab.errors import UserError
from mixlab.runs.atomic import make_folder, unwritable
from mixlab.runtime import no_garbage_collection

ALWAYS = {"show", "output", "logger", "allow", "paths", "tags", "hydra"}
OF_SOURCE = {  # where images come from, and the keys that this source uses
    "images": {"images", "labels", "seed", "epoch", "batch"},
    "run": {"run", "epoch", "batch", "rank", "data_path"},
    "data": {"experiment", "data", "augmentation", "seed", "epoch", "batch"},
}
OF_SHOW = {
    "batch": {"mixing", "model", "count"},
    "gallery": {"model", "partners", "count"},
    "augmentation": {"count"},
    "blend": set(),
    "cutmix": {"partners", "box", "published", "count"},
    "side_by_side": {"box"},
}


def preview(cfg: DictConfig, given: Collection[str] = ()) -> Path:
    """Draw what `cfg.show` names.

    Args:
        given: keys of the command line; one that the picture does not use is refused.

    Returns:
        The PNG that was written.
    """
    check_show(cfg)
    check_given(cfg, given)
    path = Path(cfg.output)
    if path.suffix.lower() != ".png":
        raise UserError(f"output={path} must end in .png")
    with no_garbage_collection():
        from mixlab.previews.figures import SHOWS

    picture, said = SHOWS[cfg.show](cfg)
    make_folder(path.parent, "output")
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise unwritable(path, error, "output") from None
    log_preview(cfg, picture, path.stem)
    print(f"{path}: {said}")
    return path


def check_show(cfg: DictConfig) -> None:
    """Raise UserError for an unknown picture, or for a number that is out of range."""
    if cfg.show not in OF_SHOW:
        nearest = nearest_name(str(cfg.show), OF_SHOW)
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise UserError(f"show must be one of {', '.join(OF_SHOW)}, got {cfg.show!r}{hint}")
    if cfg.count is not None and (type(cfg.count) is not int or cfg.count < 1):
        raise UserError(f"count must be a whole number of images above 0, got {cfg.count!r}")
    for key in ("epoch", "batch", "rank"):
        if type(cfg[key]) is not int or cfg[key] < 0:
            raise UserError(f"{key} must be a whole number from 0, got {cfg[key]!r}")


def check_given(cfg: DictConfig, given: Collection[str]) -> None:
    """Raise UserError for a key that the picture would not use."""
    source = next((name for name in ("images", "run") if cfg[name] is not None), "data")
    used = ALWAYS | OF_SOURCE[source] | OF_SHOW[cfg.show]
    if source == "run":
        used -= {"mixing", "model"}  # the run has its own
    for key in sorted(set(given) - used):
        raise UserError(f"{key}= means nothing to show={cfg.show} with {source}=...; leave it out")


def log_preview(cfg: DictConfig, picture: Any, name: str) -> None:
    """Send the picture to the chosen loggers, in a folder of its own."""
    nodes = [node for key, node in (cfg.get("logger") or {}).items() if node and key != "csv"]
    if not nodes:
        return
    from mixlab.config.build import build
    from mixlab.loggers import WandbRun
    from mixlab.loggers.pictures import log_picture

    cfg.paths.run_dir = str(Path(cfg.paths.log_dir) / "previews" / name)
    loggers = []
    for node in nodes:
        is_wandb = node.get("_target_") == "mixlab.loggers.WandbRun"
        options = {"job_type": "preview"} if is_wandb else {}  # this run trains nothing
        loggers.append(build(node, allow=cfg.allow, **options))
    log_picture(loggers, name, picture)
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.close(failed=False)
        else:
            logger.finalize("success")


def keys_given() -> set[str]:
    """The keys of this command line, as `mixing` of `mixing.method.alpha=1`."""
    words = HydraConfig.get().overrides.task
    return {word.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] for word in words}


def main() -> None:
    """The command `mixlab-preview`."""
    run_hydra(lambda cfg: preview(cfg, keys_given()), "preview")


if __name__ == "__main__":
    main()
