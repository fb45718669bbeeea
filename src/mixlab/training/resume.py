"""Where a training starts, whether it may start there, and whether a finished run stands.

Neither another configuration nor other data are taken over silently.
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
from mixlab.runs.checkpoints import Broken, load_checkpoint, newest
from mixlab.runs.identity import identity, same_numbers
from mixlab.runs.status import Existing, other_data

LENGTH = ("trainer.max_epochs", "trainer.max_steps")  # may differ: to go on for longer


@dataclass(frozen=True)
class ResumePoint:
    """Where a training starts.

    Attributes:
        checkpoint: None for the initial weights.
        is_own: whether the checkpoint is the run's own, and not one that `ckpt_path` names.
        trouble: what is wrong with the run's newest checkpoint, if another one is used instead.
    """

    checkpoint: Path | None
    is_own: bool = False
    trouble: str = ""

    @property
    def words(self) -> str | None:
        """For the record."""
        if self.checkpoint is None:
            return None
        return self.checkpoint.name + (f"; {self.trouble}" if self.trouble else "")


def resume_point(run: Run) -> ResumePoint:
    """The run's own newest whole checkpoint, else the one that `ckpt_path` names.

    Raises:
        UserError: all of its own checkpoints are broken, or `ckpt_path` is, or is not there.
    """
    own, trouble = newest(run.checkpoints)
    if own is not None:
        return ResumePoint(own, True, trouble)
    return ResumePoint(named_start(run.cfg))


def check_start(cfg: DictConfig) -> None:
    """Raise ValueError if `ckpt_path` is a checkpoint of a run with another configuration."""
    if cfg.ckpt_path is None or cfg.get("existing") == Existing.REUSE:
        return
    file = Path(cfg.ckpt_path).absolute().parents[1] / "config.yaml"
    if not file.is_file():
        return  # not of a run folder: nothing is known of it
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
    old, new = (dict(leaves(same_numbers(identity(resolved(cfg))))) for cfg in (before, now))
    for key in {**old, **new}:
        moved = key == "ckpt_path" or key.rsplit(".", 1)[-1] == "path"
        if not moved and old.get(key) != new.get(key):
            yield f"{key} was {old.get(key)}, is {new.get(key)}"


def resolved(cfg: Any) -> DictConfig:
    """A copy without interpolations, as `config.yaml` has it."""
    return DictConfig(OmegaConf.to_container(cfg, resolve=True))


def check_data_of(cfg: DictConfig, finished: Iterable[Path]) -> None:
    """Raise ValueError if the data of finished runs of `cfg` are not what they were trained on.

    They are read again only where a file of theirs is younger than a run's record.
    """
    changed = data_changed(cfg)
    younger = [folder for folder in finished if (folder / "run.json").stat().st_mtime < changed]
    if not younger:
        return
    from mixlab.training.build import build_data

    data = build_data(cfg).record()
    for folder in younger:
        if why := other_data(folder, read_json(folder / "run.json").get("data") or {}, data):
            raise UserError(f"{why}, or add existing=new to archive it and train again")


def data_changed(cfg: DictConfig) -> float:
    """When the files that the data are named by were written, in seconds since 1970; 0 for none."""
    plain = OmegaConf.to_container(cfg.data, resolve=True)
    named = {Path(value) for key, value in leaves(plain) if key.endswith("path") and value}
    return max((path.stat().st_mtime for path in named if path.exists()), default=0.0)


def epochs_of(checkpoint: Path) -> int:
    """How many epochs a finished training had, be it that something stopped it early."""
    return load_checkpoint(checkpoint)["loops"]["fit_loop"]["epoch_progress"]["current"][
        "processed"
    ]


def named_start(cfg: DictConfig) -> Path | None:
    """The checkpoint that the user names to start from."""
    if cfg.ckpt_path is None:
        return None
    if not Path(cfg.ckpt_path).is_file():
        raise UserError(
            f"ckpt_path={cfg.ckpt_path} is not there; name a file such as .../last.ckpt"
        )
    try:
        load_checkpoint(Path(cfg.ckpt_path))
    except Broken as error:
        raise UserError(f"ckpt_path: {error.fault}; name another .../last.ckpt") from None
    return Path(cfg.ckpt_path)
