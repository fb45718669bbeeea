"""A sweep's list, its records, and what is said at its end."""

import json
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from helpers.planned_jobs import planned
from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import write_json
from mixlab.runs.provenance import code_hashes
from mixlab.sweeps import grid, sweep
from mixlab.sweeps.launch import job_specs


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    """What Hydra knows of the sweep, which is begun in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "logs" / "sweeps" / "s")}}})


def finish(job: grid.Job, code: dict[str, str] | None = None) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    record = {"status": "finished", "results": {"last": {}}, "code": code or code_hashes()}
    write_json(job.folder / "run.json", record)


def test_the_list_leads_to_the_runs(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    assert sweep.begin(jobs, config).to_train == jobs
    folder = tmp_path / "logs" / "sweeps" / "s"
    record = json.loads((folder / "sweep.json").read_text())
    assert record["name"] == "s"
    assert [(folder / run).resolve() for run in record["runs"]] == [job.folder for job in jobs]


def test_only_what_is_missing_is_done(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    jobs = planned(tmp_path, [0, 1, 2], ["mixing=none"])
    finish(jobs[1])
    plan = sweep.begin(jobs, config)
    assert (plan.skip, plan.to_train) == ([jobs[1]], [jobs[0], jobs[2]])
    assert (
        "3 runs, 1 of them finished, listed in logs/sweeps/s/sweep.json" in capsys.readouterr().out
    )


def test_runs_of_other_code_are_asked_about(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    finish(jobs[0], code={**code_hashes(), "mixlab/training/gone.py": "another"})
    with pytest.raises(ValueError, match="1 run made by other code .*mixlab/training/gone.py"):
        sweep.begin(jobs, config)
    jobs[0].arm.existing = "reuse"
    plan = sweep.begin(jobs, config)
    assert (plan.skip, plan.to_train) == ([jobs[0]], [jobs[1]])
    line = "kept, made by other code (mixlab/training/gone.py changed)"
    assert line in capsys.readouterr().out
    record = json.loads((jobs[0].folder / "run.json").read_text())
    assert record["stale_code"] == ["mixlab/training/gone.py"]


def statuses(jobs: list[grid.Job]) -> list[str]:
    return [json.loads((job.folder / "run.json").read_text())["status"] for job in jobs]


def test_every_run_that_is_missing_is_planned(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 7], ["mixing=none"])
    finish(jobs[0])
    sweep.begin(jobs, config)
    assert statuses(jobs) == ["finished", "planned"]
    record = json.loads((jobs[1].folder / "run.json").read_text())
    assert (record["arm"], record["seed"]) == ("digits-cnn-none", 7)
    assert jobs[1].folder.parent.name == f"{record['arm']}-{record['hash']}"


def test_a_plan_says_what_tells_its_arms_apart_and_what_was_typed(
    tmp_path: Path, config: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["mixlab-train", "-m", "mixing=none,cutmix"]
    monkeypatch.setattr(sys, "orig_argv", ["python", *typed])
    lr = "optimizer.lr=0.1"
    jobs = planned(tmp_path, [0], ["mixing=none"], ["mixing=cutmix"], ["mixing=cutmix", lr])
    sweep.begin(jobs, config)
    records = [json.loads((job.folder / "run.json").read_text()) for job in jobs]
    assert [record["label"] for record in records] == [
        "none", "cutmix alpha=1 p=1 lr=0.001", "cutmix alpha=1 p=1 lr=0.1",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "a job"])
    with Run.open(jobs[0].config) as run:
        run.clear()
        assert run.record["label"] == "none", "trained again, it is called the same"
        run.begin()
        assert run.record["command"] == typed


@pytest.mark.parametrize(
    ("retry", "begun"), [((), [2, 3]), (("failed",), [0, 2, 3]), (sweep.RETRIED, [0, 1, 2, 3])]
)
def test_failed_and_diverged_runs_are_left_until_somebody_asks(
    tmp_path: Path, config: DictConfig, retry: tuple[str, ...], begun: list[int]
) -> None:
    jobs = planned(tmp_path, [0, 1, 2, 3], ["mixing=none"])
    for job, status in zip(jobs, ("failed", "diverged", "interrupted"), strict=False):
        job.folder.mkdir(parents=True)
        write_json(job.folder / "run.json", {"status": status, "code": code_hashes()})
    plan = sweep.begin(jobs, config, retry)
    assert [job.seed for job in plan.to_train] == begun
    assert all(job.config.get("retry") == (list(retry) or None) for job in plan.to_train)
    assert {job.seed for job in plan.leave} == {0, 1} - {*begun}
    assert statuses(jobs) == ["failed", "diverged", "interrupted", "planned"]


def test_new_archives_every_run(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    finish(jobs[0])
    jobs[0].arm.existing = "new"
    plan = sweep.begin(jobs, config)
    assert [job.seed for job in plan.to_train] == [0, 1]
    assert {job.config.existing for job in plan.to_train} == {"check"}, "they archive no more"
    assert jobs[0].arm.existing == "new", "seeds share it"
    assert statuses(jobs) == ["planned", "planned"]
    assert (jobs[0].folder.with_name("seed-0.1") / "run.json").exists()
    with Run.open(jobs[1].config), pytest.raises(ValueError, match="before existing=new"):
        sweep.begin(jobs, config)
    assert statuses(jobs) == ["planned", "planned"]


def test_a_ticket_is_what_its_configuration_says(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [3, 11], ["mixing=cutmix", "threads=auto"], ["mixing=none"])
    for job, ticket in zip(jobs, job_specs(jobs, threads=2), strict=True):
        cfg = ticket.run_config()
        assert (cfg.seed, cfg.threads) == (job.seed, 1 if job.arm.threads == 1 else 2)
        assert run_folder(cfg) == ticket.folder == job.folder


def test_the_end_says_what_is_missing_and_what_is_next(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    jobs = planned(tmp_path, [0, 1, 2, 3], ["mixing=none"])
    sweep.begin(jobs, config)
    finish(jobs[0])
    for job, record in zip(
        jobs[1:3], ({"status": "failed", "error": "no\nmemory"}, {"status": "running"}), strict=True
    ):
        write_json(job.folder / "run.json", record)
    with pytest.raises(SystemExit) as end:
        sweep.end(jobs, config)
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "failed: logs/runs/train/" in said and "/seed-1: no memory" in said
    assert "/seed-2: its process is gone" in said
    assert "planned: logs/runs/train/" in said and "/seed-3: it was not begun" in said
    assert "retry=failed added to the same command trains the failed again" in said
    assert "1 of 4 runs finished" in said and "the same command again trains what is" in said
    assert said.splitlines()[-1] == "next: mixlab-compare logs/sweeps/s"


@pytest.mark.parametrize(("user_error", "status"), [((True, True), 2), ((True, None), 1)])
def test_the_status_tells_whether_all_can_be_mended(
    tmp_path: Path, config: DictConfig, user_error: tuple, status: int
) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    sweep.begin(jobs, config)
    for job, flag in zip(jobs, user_error, strict=True):
        record = {"status": "failed", "error": "data.path is not there", "user_error": flag}
        write_json(job.folder / "run.json", record)
    with pytest.raises(SystemExit) as end:
        sweep.end(jobs, config)
    assert end.value.code == status


def test_a_whole_sweep_ends_well(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = planned(tmp_path, [0], ["mixing=none"])
    finish(jobs[0])
    sweep.end(jobs, config)
    assert capsys.readouterr().out.startswith("1 of 1 runs finished\nnext: mixlab-compare")
