"""One W&B run per run folder: online with a key, offline without, silent, without prompts."""

import logging
import netrc
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from mixlab.checks import WANDB_MODE
from mixlab.runs.atomic import write_text

ANSWER_SECONDS = 10.0  # seconds that W&B may take for one answer: no training waits longer
LONGEST_NAME = 128  # letters, for W&B
log = logging.getLogger(__name__)
WANDB_MODES = ("auto", "online", "offline", "disabled")


class NullRun:
    """Replaces a W&B run that could not start: accepts every call and does nothing."""

    def __getattr__(self, name: str) -> "NullRun":
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "NullRun":
        return self


class WandbRun(WandbLogger):
    """Lightning's W&B logger, grouped by arm, that cannot stop or prompt a training.

    Args:
        folder: The run folder, `.../<arm>-<hash>/seed-<n>`.
        mode: `auto` is online if a key is set, else offline. WANDB_MODE has priority.
        job_type: the category of the run in W&B.
        name, group: of the run in W&B; by default those of the folder.
    """

    def __init__(
        self,
        folder: str,
        project: str = "mixlab",
        entity: str | None = None,
        mode: str = "auto",
        tags: list[str] | None = None,
        job_type: str = "train",
        name: str | None = None,
        group: str | None = None,
    ) -> None:
        import wandb

        WANDB_MODE.check("logger.wandb.mode", mode)
        mode = os.environ.get("WANDB_MODE") or (mode if mode != "auto" else default_mode())
        if mode == "online" and default_mode() == "offline":  # W&B would prompt and wait
            log.warning("no W&B key is set (WANDB_API_KEY or `wandb login`): logging offline")
            mode = "offline"
        arm, seed = Path(folder).parent.name, Path(folder).name
        super().__init__(
            save_dir=folder,
            project=project,
            entity=entity,
            name=(name or f"{arm}/{seed}")[:LONGEST_NAME],
            group=(group or arm)[:LONGEST_NAME],
            job_type=job_type,
            tags=tags or [],
            mode=mode,
            resume="allow",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=ANSWER_SECONDS,
                finish_timeout=ANSWER_SECONDS,
                host="",
                x_disable_meta=True,  # host, user, command line
                disable_git=True,  # the remote, which may have a token in it
                disable_code=True,
            ),
        )
        self._wandb_init.pop("anonymous", None)  # Lightning passes it, W&B warns about it
        self.given_up = False
        os.environ.setdefault("WANDB_SILENT", "true")  # its login reads only this
        with suppress(ImportError):  # newer W&B reports on itself, and at exit waits for a server
            from wandb.analytics.opentelemetry.opentelemetry_proxy import disable

            disable()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, or a `NullRun` if W&B cannot start; metrics.csv has everything."""
        if self._experiment is None and not self.given_up:
            online = self._wandb_init["mode"] == "online"
            self._attempt("start", self._start, self._start_offline if online else None)
        return NullRun() if self.given_up else self._experiment

    def _start(self) -> None:
        self._wandb_init["id"] = run_id(Path(str(self._wandb_init["dir"])))
        experiment = WandbLogger.experiment.fget(self)  # pyright: ignore
        experiment.define_metric("trainer/global_step")
        experiment.define_metric("*", step_metric="trainer/global_step")

    def _start_offline(self) -> None:
        end_service()
        self._wandb_init["mode"] = "offline"
        self._start()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self.experiment and not self.given_up:
            self._attempt("log", partial(super().log_metrics, metrics, step))

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        if self.experiment and not self.given_up:
            self._attempt("log", partial(super().log_hyperparams, params))

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kw: Any) -> None:
        if self.experiment and not self.given_up:
            self._attempt("log", partial(super().log_image, key, images, step, **kw))

    @rank_zero_only
    def tell(self, what: Callable[[Any], Any]) -> None:
        """Call something with W&B's run, under the same rules as all that is logged."""
        if self.experiment and not self.given_up:
            self._attempt("log", partial(what, self._experiment))

    def _attempt(
        self, what: str, call: Callable[[], Any], offline: Callable[[], Any] | None = None
    ) -> None:
        """Call W&B; if that fails, try `offline`; if that fails too, stop using W&B.

        One warning says so. metrics.csv has everything.
        """
        reason = failure(call)
        if reason is None:
            return
        is_offline = offline is not None and failure(offline) is None
        if not self.given_up:
            outcome = "training continues without it"
            if is_offline:
                outcome = "logging offline, for `mixlab-sweep sync`"
            log.warning("W&B could not %s (%s); %s", what, reason, outcome)
        self.given_up = not is_offline

    @rank_zero_only
    def close(self, failed: bool) -> None:
        """End the W&B run, so that the next run in this process gets its own."""
        if self._experiment is not None:
            self._attempt("finish", partial(self._experiment.finish, exit_code=int(failed)))
        self._experiment = None
        self.given_up = False


def failure(call: Callable[[], Any]) -> str | None:
    """Why a call failed or took too long; None if it succeeded."""
    try:
        within(ANSWER_SECONDS, call)
    except Exception as error:  # no error of W&B may stop the training
        if isinstance(error, TimeoutError):
            end_service()
        return " ".join(str(error).split()) or f"no answer within {ANSWER_SECONDS:g} seconds"
    return None


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """The result of `call`; after `seconds` TimeoutError, and its thread is left to itself."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="wandb").start()
    return future.result(seconds)


def end_service() -> None:
    """End W&B's own process; otherwise we would wait at exit for as long as it retries."""
    from wandb.sdk import wandb_setup

    connection = getattr(getattr(wandb_setup, "_singleton", None), "_connection", None)
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    if process is not None:
        process.kill()
        with suppress(Exception, SystemExit):  # the process is gone
            wandb_setup.teardown()


def run_id(folder: Path) -> str:
    """The W&B id of the run in this folder, the same after each resume."""
    file = folder / "wandb" / "id"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, secrets.token_hex(4))
    return file.read_text(encoding="utf-8")


def default_mode() -> str:
    """Online if W&B would find a key without a prompt, else offline."""
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        file = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return "offline"
    return "online" if file.authenticators(host) else "offline"
