"""One W&B run for one run folder, which never asks, never blocks and cannot stop a training."""

from pathlib import Path
from typing import Any

import pytest
import wandb

from helpers.small_runs import FailAt, small, train_with
from mixlab.loggers import MetricsFile, WandbRun
from mixlab.loggers.wandb_run import NullRun, run_id
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json, write_json
from mixlab.training.build import wandb_names
from mixlab.training.supervise import train


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and nothing said in the environment."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    first = run_id(tmp_path / "seed-0")
    assert run_id(tmp_path / "seed-0") == first != run_id(tmp_path / "seed-1")


def mode(folder: Path, wanted: str = "auto") -> str:
    return WandbRun(str(folder), mode=wanted)._wandb_init["mode"]


@pytest.mark.parametrize("wanted", ["auto", "offline", "online"])
def test_without_a_key_it_is_offline_and_never_asks(no_account: Path, wanted: str) -> None:
    assert mode(no_account, wanted) == "offline"


@pytest.mark.parametrize("wanted", ["auto", "online"])
def test_with_a_key_it_is_online(
    no_account: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert mode(no_account, wanted) == "online"
    assert mode(no_account, "offline") == "offline"


def test_a_login_counts_for_its_own_server(
    no_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = no_account / ".netrc"
    netrc.write_text("machine api.wandb.ai\n  login user\n  password " + "x" * 40 + "\n")
    netrc.chmod(0o600)
    assert mode(no_account) == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert mode(no_account) == "offline"
    netrc.write_text("not a netrc")
    assert mode(no_account) == "offline"


def test_the_environment_goes_first(no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode(no_account, "online") == "disabled"


def test_jobs_of_one_process_are_runs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    started: list[Any] = []
    init = wandb.init

    def noted(**options: Any) -> Any:
        started.append((init(**options), options))
        return started[-1][0]

    monkeypatch.setattr(wandb, "init", noted)
    jobs = [
        small(tmp_path, f"mixing={arm}", "tags=[a,b]", "mixing.probability=0.5", logger="default")
        for arm in ("mixup", "cutmix")
    ]
    for cfg in jobs:
        train(cfg)
        folder = run_folder(cfg)
        assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1
        assert (folder / "metrics.csv").exists()
    (one, _), (two, _) = started
    assert one.id != two.id
    for (run, options), cfg, arm in zip(started, jobs, ("mixup", "cutmix"), strict=True):
        digits = run_folder(cfg).parent.name.rpartition("-")[2]
        words = {"mixup": "mixup alpha=0.2 p=0.5", "cutmix": "cutmix alpha=1 p=0.5"}[arm]
        assert (run.group, run.name) == (f"{words} ({digits})", f"{words} seed 0")
        assert tuple(run.tags) == ("a", "b") and options["mode"] == "offline"
        assert run.config["mixing"]["method"]["alpha"] == cfg.mixing.method.alpha
        assert run.config["hash"] == digits
    assert "wandb:" not in "".join(capfd.readouterr()), "silent"


def test_the_names_of_a_sweep_and_those_of_the_user_stay(tmp_path: Path) -> None:
    cfg = small(tmp_path, logger="default")
    cfg.paths.run_dir = str(run_folder(cfg))
    node = {"_target_": "mixlab.loggers.WandbRun"}
    run_folder(cfg).mkdir(parents=True)
    write_json(run_folder(cfg) / "run.json", {"label": "mixup lr=0.1"})
    digits = run_folder(cfg).parent.name.rpartition("-")[2]
    assert wandb_names(node, cfg) == {
        "name": "mixup lr=0.1 seed 0", "group": f"mixup lr=0.1 ({digits})",
    }  # fmt: skip
    assert [*wandb_names({**node, "group": "mine"}, cfg)] == ["name"]
    assert wandb_names({"_target_": "pytorch_lightning.loggers.WandbLogger"}, cfg) == {}


def test_names_are_as_long_as_they_may_be(tmp_path: Path) -> None:
    made = WandbRun(str(tmp_path), mode="offline", name="x" * 200, group="y" * 200)._wandb_init
    assert len(made["name"]) == len(made["group"]) == 128
    unnamed = WandbRun(str(tmp_path / "arm" / "seed-0"), mode="offline")._wandb_init
    assert (unnamed["name"], unnamed["group"]) == ("arm/seed-0", "arm"), "those of the folder"


def test_a_start_that_fails_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    cfg = small(tmp_path, logger="default")
    train(cfg)
    assert read_json(run_folder(cfg) / "run.json")["status"] == "finished"
    assert "W&B could not start (no space left on device); training continues" in caplog.text


@pytest.mark.parametrize("broken", [False, True])
def test_w_and_b_is_told_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    ends: list[int] = []

    class Run(NullRun):
        def finish(self, exit_code: int) -> None:
            ends.append(exit_code)

    monkeypatch.setattr(wandb, "init", lambda **_: Run())
    cfg = small(tmp_path, logger="wandb")
    if broken:
        with pytest.raises(ZeroDivisionError):
            train_with(cfg, FailAt(1))
    else:
        train(cfg)
    assert ends == [int(broken)]


def test_no_logger_at_all(tmp_path: Path) -> None:
    cfg = small(tmp_path, logger="none")
    assert train(cfg)["last"]["epoch"] == 1
    assert not (run_folder(cfg) / "metrics.csv").exists()


def test_tensorboard(tmp_path: Path) -> None:
    cfg = small(tmp_path, logger="tensorboard")
    train(cfg)
    assert list((run_folder(cfg) / "tensorboard").glob("events.*"))
    assert (run_folder(cfg) / "metrics.csv").exists()
    assert MetricsFile(str(tmp_path)).name == "csv"
