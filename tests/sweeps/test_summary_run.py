"""The W&B run of a whole sweep, read back; what fails in it costs a warning."""

import html
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import wandb
from omegaconf import DictConfig, OmegaConf

from helpers.planned_jobs import planned
from helpers.wandb_file import logged, noted, records
from helpers.written_runs import quickstart
from mixlab.sweeps import summary_run
from mixlab.sweeps.grid import Job


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    """What Hydra knows of a sweep of three arms whose runs are finished, one of seed 0 failed."""
    error = f"OSError: {tmp_path}/logs/disk is full, see /home/ada/secret.txt"
    quickstart(tmp_path / "logs", seeds=[1, 2, 3], command=["mixlab-train", "x=/home/ada/y"])
    run = next((tmp_path / "logs" / "runs" / "synthetic").glob("*-none-*/seed-3/run.json"))
    record = json.loads(run.read_text()) | {"status": "failed", "error": error, "results": None}
    run.write_text(json.dumps(record))
    folder = tmp_path / "logs" / "sweeps" / "quickstart"
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})


def jobs(tmp_path: Path, logger: str = "wandb") -> Sequence[Job]:
    found = planned(tmp_path, [0], ["mixing=none", f"logger={logger}"])
    for job in found:
        job.arm.paths.root_dir = str(tmp_path)
    return found


def test_it_has_the_table_the_page_and_the_files(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    summary_run.send_summary(jobs(tmp_path), config)
    folder = tmp_path / "logs" / "sweeps" / "quickstart"
    assert "a summary of the sweep: offline, project mixlab" in capsys.readouterr().out
    [run] = [each.run for each in records(folder) if each.WhichOneof("record_type") == "run"]
    assert (run.display_name, run.run_group, run.job_type) == (
        "sweep quickstart", "sweeps", "sweep",
    )  # fmt: skip
    told = noted(folder, "config")
    assert told["arms"] == ["none", "cutmix", "mixup"] and told["metric"] == "test/accuracy"
    assert told["runs"] == {"finished": 8, "failed": 1}
    media = next((folder / "wandb").glob("offline-run-*/files/media"))
    table = json.loads(next(media.glob("table/*.json")).read_text())
    by_arm = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {(row["arm"], row["pairs"]) for row in by_arm} == {
        ("none", None), ("mixup", 2), ("cutmix", 2),
    }  # fmt: skip
    page = next(media.glob("html/*.html")).read_text()
    assert "sweeps/quickstart" in page and "mixlab-train" in page and "disk is full" in page
    assert "x=&lt;elsewhere&gt;/y" in page or "x=<elsewhere>/y" in html.unescape(page)
    assert str(tmp_path) not in page + json.dumps(told) and "/home/ada/y" not in page
    assert {"comparison/path", "report/path", "figure/path"} <= {*logged(folder)[0]}
    manifests = [e.artifact.manifest for e in records(folder) if e.HasField("artifact")]
    assert [entry.path for entry in manifests[-1].contents] == [
        "report.csv", "report.html", "report.md", "report.png",
    ]  # fmt: skip


def test_it_is_one_run_however_often_it_is_sent(tmp_path: Path, config: DictConfig) -> None:
    folder = tmp_path / "logs" / "sweeps" / "quickstart"
    for again in (True, False, True):
        summary_run.send_summary(jobs(tmp_path), config, again)
    runs = [each.run for each in records(folder) if each.WhichOneof("record_type") == "run"]
    assert len(runs) == 2 and len({run.run_id for run in runs}) == 1


@pytest.mark.parametrize("logger", ["csv", "none"])
def test_a_sweep_without_w_and_b_has_none(tmp_path: Path, config: DictConfig, logger: str) -> None:
    summary_run.send_summary(jobs(tmp_path, logger), config)
    assert not (tmp_path / "logs" / "sweeps" / "quickstart" / "wandb").exists()


def test_what_fails_costs_a_warning(
    tmp_path: Path,
    config: DictConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture,
) -> None:
    def broken(**_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    with caplog.at_level(logging.WARNING):
        summary_run.send_summary(jobs(tmp_path), config)
    assert len(caplog.messages) == 1 and "W&B could not start (no space left" in caplog.text
    caplog.clear()
    (tmp_path / "logs" / "sweeps" / "quickstart" / "sweep.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        summary_run.send_summary(jobs(tmp_path), config)
    [said] = caplog.messages
    assert said.startswith("W&B has no summary of the sweep (") and "lists no runs" in said
    assert "summary" not in capsys.readouterr().out
