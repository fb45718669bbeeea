"""A training batch before and after mixing, as a picture: `mixlab-preview`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mixlab.cli import run as run_from_command_line

if TYPE_CHECKING:
    from mixlab.callbacks.mixing import Seen


def preview(cfg: DictConfig) -> Path:
    """Draw the batch at (seed, epoch, batch) as a training with this configuration would see it.

    Returns:
        The PNG that was written.
    """
    from mixlab.reporting.pictures import mixed_batch
    from mixlab.training import build_data

    if not cfg.get("mixing"):
        raise ValueError("mixing=none leaves a batch as it is; name a method, as in mixing=cutmix")
    path = Path(cfg.output)
    if path.suffix.lower() != ".png":
        raise ValueError(f"output={path} must end in .png")
    data = build_data(cfg)
    before, after, blend = batch_at(cfg, data)
    picture = mixed_batch(before, after, blend, data.spec.class_names)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")
    print(f"{path}: {len(before.images)} rows of {cfg.data.name}, before and after mixing")
    return path


def batch_at(cfg: DictConfig, data: Any) -> "Seen":
    """One training batch before and after mixing, and the blend between."""
    from itertools import islice

    from mixlab.config import build

    callback = build(cfg.mixing, allow=cfg.get("allow", ()))
    loader = data.train_dataloader()
    loader.set_epoch(cfg.epoch)
    raw = next(islice(iter(loader), cfg.batch, None), None)
    if raw is None:
        raise ValueError(f"batch={cfg.batch} is beyond the epoch's {len(loader)} batches")
    callback.mix(data.on_after_batch_transfer(raw, 0))
    return callback.seen


def main() -> None:
    """The command `mixlab-preview`."""
    run_from_command_line(preview, "preview")


if __name__ == "__main__":
    main()
