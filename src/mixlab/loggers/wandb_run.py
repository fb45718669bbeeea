"""One W&B run for one run folder: online with a key, offline without, silent, never asking."""

import logging
import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")


class Mute:
    """In place of a W&B run that could not start: takes everything and does nothing."""

    def __getattr__(self, name: str) -> "Mute":
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "Mute":
        return self


class WandbRun(WandbLogger):
    """Lightning's W&B logger, grouped by arm, that cannot stop or prompt a training.

    Args:
        folder: The run folder, `.../<arm>-<hash>/seed-<n>`: names the run and its group.
        mode: `auto` is online where a key is set and offline otherwise; WANDB_MODE goes before it.
        job_type: what W&B files the run under.
    """

    def __init__(
        self,
        folder: str,
        project: str = "mixlab",
        entity: str | None = None,
        mode: str = "auto",
        tags: list[str] | None = None,
        job_type: str = "train",
    ) -> None:
        import wandb

        if mode not in MODES:
            raise ValueError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode!r}")
        mode = os.environ.get("WANDB_MODE") or (mode if mode != "auto" else default_mode())
        if mode == "online" and default_mode() == "offline":  # W&B would ask, and wait
            log.warning("no W&B key is set (WANDB_API_KEY or `wandb login`): logging offline")
            mode = "offline"
        arm, seed = Path(folder).parent.name, Path(folder).name
        super().__init__(
            save_dir=folder,
            project=project,
            entity=entity,
            name=f"{arm}/{seed}",
            group=arm,
            job_type=job_type,
            tags=tags or [],
            mode=mode,
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=30, x_disable_meta=True
            ),
        )
        self._wandb_init.pop("anonymous", None)  # Lightning still gives it, W&B warns of it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run; a mute stand-in where W&B cannot start: metrics.csv has all of it."""
        if self._experiment is None:
            try:
                experiment = WandbLogger.experiment.fget(self)  # pyright: ignore
                experiment.define_metric("trainer/global_step")
                experiment.define_metric("*", step_metric="trainer/global_step")
            except Exception as error:  # whatever it is, it must not cost the training
                log.warning("W&B could not start (%s); training goes on without it", error)
                self._experiment = Mute()  # pyright: ignore
        return self._experiment

    @rank_zero_only
    def close(self, failed: bool) -> None:
        """End the W&B run, so that the next one in this process is another."""
        if self._experiment is not None:
            try:
                self._experiment.finish(exit_code=int(failed))
            except Exception as error:
                log.warning("W&B could not finish (%s)", error)
        self._experiment = None


def default_mode() -> str:
    """Online where W&B would find a key without asking, else offline."""
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        file = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return "offline"
    return "online" if file.authenticators(host) else "offline"
