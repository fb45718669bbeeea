"""Where a training starts, and whether its configuration and data allow that.

A checkpoint of another configuration, or of other data, is never used silently.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.keys import leaves
from mixlab.errors import UserError
from mixlab.runs import Run
from mixlab.runs.atomic import read_json
from mixlab.runs.checkpoints import Broken, digest_of, load_checkpoint, newest
from mixlab.runs.identity import identity, same_numbers
from mixlab.runs.status import Existing, other_data

LENGTH = ("trainer.max_epochs", "trainer.max_steps")  # may differ: to train for longer


@dataclass(frozen=True)
class ResumePoint:
    """Where a training starts.

    Attributes:
        checkpoint: None for the initial weights.
        is_own: whether it is the run's own checkpoint, not the one that `ckpt_path` names.
        trouble: what is wrong with the run's newest checkpoint, if an older one is used.
    """

    checkpoint: Path | None
    is_own: bool = False
    trouble: str = ""

    @property
    def words(self) -> str | None:
        """For `run.json`."""
        if self.checkpoint is None:
            return None
        return self.checkpoint.name + (f"; {self.trouble}" if self.trouble else "")


def resume_point(run: Run) -> ResumePoint:
    """The run's own newest intact checkpoint, else the one that `ckpt_path` names.

    Raises:
        UserError: all of its own checkpoints are broken, or `ckpt_path` is broken or missing.
    """
    own, trouble = newest(run.checkpoints)
    if own is not None:
        return ResumePoint(own, True, trouble)
    return ResumePoint(named_start(run.cfg))


def check_start(cfg: DictConfig) -> None:
    """Raise UserError if `ckpt_path` is a checkpoint of a run with another configuration."""
    if cfg.ckpt_path is None or cfg.get("existing") == Existing.REUSE:
        return
    file = Path(cfg.ckpt_path).absolute().parents[1] / "config.yaml"
    if not file.is_file():
        return  # not in a run folder, so its configuration is unknown
    found = sorted(differences(OmegaConf.load(file), cfg))
    if found:
        listed = "; ".join(found[:8]) + ("; ..." if len(found) > 8 else "")
        raise UserError(
            f"ckpt_path={cfg.ckpt_path} is of a run with another configuration: {listed}; "
            "add existing=reuse to start from it anyway"
        )


def differences(before: Any, now: DictConfig) -> Iterator[str]:
    """`optimizer.lr was 0.1, is 0.2`: where two configurations train differently."""
    now, before = now.copy(), before.copy()
    before.allow = now.get("allow", [])  # a file may not allow itself to be imported
    for key in LENGTH:  # and what follows it, as the length of a schedule
        OmegaConf.update(now, key, OmegaConf.select(before, key))
    resolved = [DictConfig(OmegaConf.to_container(cfg, resolve=True)) for cfg in (before, now)]
    old, new = (dict(leaves(same_numbers(identity(cfg)))) for cfg in resolved)
    for key in {**old, **new}:
        moved = key == "ckpt_path" or key.rsplit(".", 1)[-1] == "path"
        if not moved and old.get(key) != new.get(key):
            yield f"{key} was {old.get(key)}, is {new.get(key)}"


def check_data_of(cfg: DictConfig, finished: Iterable[Path]) -> None:
    """Raise UserError if the data, or a file of weights, changed since runs of `cfg` finished.

    They are read again only if one of their files is newer than a run's record.
    """
    check_weights_of(cfg, finished)
    younger = older_than(data_changed(cfg), finished)
    if not younger:
        return
    from mixlab.training.build import build_data

    data = build_data(cfg).record()
    for folder in younger:
        if why := other_data(folder, read_json(folder / "run.json").get("data") or {}, data):
            raise UserError(f"{why}, or add existing=new to archive it and train again")


def check_weights_of(cfg: DictConfig, finished: Iterable[Path]) -> None:
    """Raise UserError if `model.pretrained` names a file that changed since runs began with it."""
    file = weights_file(cfg)
    if file is None or not file.is_file():
        return
    for folder in older_than(file.stat().st_mtime, finished):
        before = (read_json(folder / "run.json").get("weights") or {}).get("sha256")
        if before not in (None, digest_of(file)):
            raise UserError(
                f"{folder} began with other weights: {file} has changed since; restore it, or add "
                "existing=new to archive the run and train again"
            )


def older_than(seconds: float, finished: Iterable[Path]) -> list[Path]:
    """The runs whose record was written before a time, in seconds since 1970."""
    return [folder for folder in finished if (folder / "run.json").stat().st_mtime < seconds]


def weights_file(cfg: DictConfig) -> Path | None:
    """The file that `model.pretrained` names."""
    given = OmegaConf.select(cfg, "model.pretrained")
    return Path(given).expanduser() if isinstance(given, str) else None


def weights_record(cfg: DictConfig) -> dict[str, str] | None:
    """What `run.json` says of the file of pretrained weights; None without one."""
    file = weights_file(cfg)
    return {"file": file.name, "sha256": digest_of(file)} if file else None


def data_changed(cfg: DictConfig) -> float:
    """When the newest file that the data name was written, in seconds since 1970; 0 for none."""
    plain = OmegaConf.to_container(cfg.data, resolve=True)
    named = {Path(value) for key, value in leaves(plain) if key.endswith("path") and value}
    return max((path.stat().st_mtime for path in named if path.exists()), default=0.0)


def epochs_of(checkpoint: Path) -> int:
    """How many epochs a finished training had, which something may have stopped early."""
    loop = load_checkpoint(checkpoint)["loops"]["fit_loop"]
    return loop["epoch_progress"]["current"]["processed"]


def named_start(cfg: DictConfig) -> Path | None:
    """The checkpoint that the user names to start from."""
    if cfg.ckpt_path is None:
        return None
    if not Path(cfg.ckpt_path).is_file():
        raise UserError(
            f"ckpt_path={cfg.ckpt_path} does not exist; name a file such as .../last.ckpt"
        )
    try:
        load_checkpoint(Path(cfg.ckpt_path))
    except Broken as error:
        raise UserError(f"ckpt_path: {error.fault}; name another .../last.ckpt") from None
    return Path(cfg.ckpt_path)
