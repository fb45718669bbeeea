"""A run folder in the hands of one process."""

import os
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import small
from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.folder import Refused
from mixlab.runs.locks import is_running
from mixlab.runs.provenance import code_hashes
from mixlab.runs.status import ACTIONS, TRANSITIONS, Action, Status, next_action, transition
from mixlab.training.supervise import train


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    return small(tmp_path)


def finished(cfg: DictConfig, code: dict[str, str] | None = None) -> Path:
    """A run that was trained, by the code there is now or by other."""
    folder = run_folder(cfg)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    record = {"status": "finished", "results": {}, "code": code_hashes() if code is None else code}
    write_json(folder / "run.json", record)
    return folder


def test_a_record_from_begin_to_end(cfg: DictConfig) -> None:
    with Run.open(cfg) as run:
        run.begin(threads=1)
        began = read_json(run.folder / "run.json")
        run.end(Status.FAILED, error="a defect")
    with Run.open(cfg) as run:
        assert run.record["error"] == "a defect"
        run.begin(threads=1)
        run.end(Status.FINISHED, results={"last": {}})
    record = read_json(run.folder / "run.json")
    assert (began["status"], began["seed"], began["error"]) == ("running", 0, None)
    assert (record["status"], record["error"], record["threads"]) == ("finished", None, 1)
    assert record["started"] == began["started"] <= record["ended"]
    assert OmegaConf.load(run.folder / "config.yaml").data.name == "digits"


def test_seconds_add_up_over_processes(cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for clock, total in (([0.0, 10.0, 15.0], 5.0), ([0.0, 20.0, 22.5], 7.5)):
        ticks = iter(clock)  # opened, begun, ended
        monkeypatch.setattr("mixlab.runs.folder.time.monotonic", lambda ticks=ticks: next(ticks))
        with Run.open(cfg) as run:
            run.begin()
            run.end(Status.INTERRUPTED)
        assert run.record["seconds"] == total


def test_seconds_of_a_process_that_died_are_told_by_its_heartbeat(cfg: DictConfig) -> None:
    with Run.open(cfg) as run:
        run.begin()
    began = (run.folder / "config.yaml").stat().st_mtime
    os.utime(run.folder / ".lock", (began, began + 30))
    with Run.open(cfg) as run:
        run.begin(resumes=True)
        assert run.record["seconds"] == pytest.approx(30, abs=0.01)
        run.end(Status.FINISHED)
    assert 30 <= run.record["seconds"] < 35


def test_another_rank_reads_and_never_writes(cfg: DictConfig) -> None:
    with Run.open(cfg) as run:
        run.begin(threads=3)
        before = {path: path.stat().st_mtime_ns for path in run.folder.iterdir()}
        joined = Run(run.folder, cfg)
        assert joined.record["threads"] == 3
        joined.begin(threads=7)
        joined.end(Status.FAILED)
        assert {path: path.stat().st_mtime_ns for path in run.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("record", "changed", "existing", "expected"),
    [
        ({}, [], "check", Action.RESUME),
        ({}, ["a.py"], "check", Action.RESUME),
        ({"status": "finished"}, [], "check", Action.SKIP),
        ({"status": "finished"}, [], "replace", Action.SKIP),
        ({"status": "finished"}, ["a.py"], "check", Action.ASK),
        ({"status": "finished"}, ["a.py"], "reuse", Action.SKIP),
        ({"status": "finished"}, ["a.py"], "replace", Action.RESTART),
        ({"status": "diverged"}, ["a.py"], "check", Action.RESTART),
        ({"status": "interrupted"}, [], "check", Action.RESUME),
        ({"status": "running"}, [], "check", Action.RESUME),
        ({"status": "failed"}, ["a.py"], "check", Action.RESTART),
        ({"status": "diverged"}, [], "check", Action.RESUME),
        ({"status": "planned"}, ["a.py"], "check", Action.RESUME),
        ({"status": "planned", "code": {"a.py": "old"}}, ["a.py"], "check", Action.RESTART),
        ({"status": "interrupted"}, ["a.py"], "reuse", Action.RESUME),
        ({"status": "interrupted"}, ["a.py"], "check", Action.RESTART),
    ],
)
def test_next_action(record: dict, changed: list[str], existing: str, expected: Action) -> None:
    assert next_action(record, changed, existing) == expected


@pytest.mark.parametrize("status", ["interrupted", "running", "failed"])
@pytest.mark.parametrize(
    ("existing", "expected"),
    [("check", Action.ASK), ("reuse", Action.RESUME), ("replace", Action.RESTART)],
)
def test_no_checkpoint_is_thrown_away_unasked(status: str, existing: str, expected: Action) -> None:
    assert next_action({"status": status}, ["a.py"], existing, begun=True) == expected


@pytest.mark.parametrize(
    ("status", "action"), [(Status.FAILED, Action.RESUME), (Status.DIVERGED, Action.LEAVE)]
)
def test_one_that_failed_is_trained_again_unasked(
    cfg: DictConfig, status: Status, action: Action
) -> None:
    with Run.open(cfg) as run:
        run.begin()
        run.end(status, error="a defect")
        assert run.next_action() == action


def test_a_finished_run_is_skipped(cfg: DictConfig) -> None:
    finished(cfg)
    with Run.open(cfg) as run:
        assert run.next_action() == Action.SKIP and list(run.checkpoints.iterdir())


def test_a_changed_file_is_asked_about(cfg: DictConfig) -> None:
    finished(cfg, {**code_hashes(), "mixlab/training/gone.py": "another"})
    with Run.open(cfg) as run:
        assert run.next_action() == Action.ASK and run.changed() == ["mixlab/training/gone.py"]
    sentence = (
        r"1 run made by other code \(mixlab/training/gone.py changed\): .*"
        "existing=reuse .*existing=replace .*existing=new "
    )
    with pytest.raises(ValueError, match=sentence):
        train(cfg)
    assert list(run.checkpoints.iterdir()), "nothing is touched"


def test_a_stale_run_is_never_kept_silently(
    cfg: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(cfg, {**code_hashes(), "mixlab/training/gone.py": "another"})
    cfg.existing = "reuse"
    train(cfg)
    assert "kept, made by other code (mixlab/training/gone.py changed)" in capsys.readouterr().out
    assert read_json(folder / "run.json")["stale_code"] == ["mixlab/training/gone.py"]


def test_a_stale_run_that_is_resumed_says_so(cfg: DictConfig) -> None:
    finished(cfg, {**code_hashes(), "mixlab/training/gone.py": "another"})
    for _ in range(2):
        with Run.open(cfg) as run:
            run.begin(resumes=True)
        assert run.record["stale_code"] == ["mixlab/training/gone.py"]
        assert run.changed() == [], "its code is that of today"
    with Run.open(cfg) as run:
        run.begin()
    assert "stale_code" not in run.record


def test_every_state_has_an_action_and_a_way_in() -> None:
    assert set(ACTIONS) == {None, *Status} and set(TRANSITIONS) == {*Status}


@pytest.mark.parametrize(
    ("before", "after"), [(None, "finished"), ("failed", "finished"), ("finished", "diverged")]
)
def test_no_run_goes_there(before: str | None, after: str) -> None:
    with pytest.raises(RuntimeError, match=f"a run that is {before} does not become {after}"):
        transition({"status": before}, Status(after))


@pytest.mark.parametrize(
    ("existing", "action"), [("reuse", Action.SKIP), ("replace", Action.RESTART)]
)
def test_the_user_says_what_becomes_of_it(cfg: DictConfig, existing: str, action: Action) -> None:
    folder = finished(cfg, code={})
    cfg.existing = existing
    with Run.open(cfg) as run:
        assert run.next_action() == action
        if action == Action.RESTART:
            run.clear()
        left = {path.name for path in folder.iterdir()}
    assert left == ({".lock", "run.json", "checkpoints"} if action == Action.SKIP else {".lock"})
    assert bool(run.record) == (action == Action.SKIP)


def test_clearing_does_not_follow_links(cfg: DictConfig, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    with Run.open(cfg) as run:
        (run.folder / "link").symlink_to(precious)
        run.clear()
    assert (precious / "file").exists() and not (run.folder / "link").exists()


def test_new_keeps_the_old_beside(cfg: DictConfig) -> None:
    folder = finished(cfg)
    for number in (1, 2):
        cfg.existing = "new"
        with Run.open(cfg) as run:
            assert run.next_action() == Action.RESUME and not run.checkpoints.exists()
            assert is_running(folder) and not is_running(folder.with_name(f"seed-0.{number}"))
            run.begin()
            run.end(Status.FINISHED, results={})
        assert (folder.with_name("seed-0.1") / "checkpoints" / "last.ckpt").exists()
        assert OmegaConf.load(folder / "config.yaml").existing == "check"
    assert {path.name for path in folder.parent.iterdir()} == {"seed-0", "seed-0.1", "seed-0.2"}


def test_a_slip_puts_the_old_back(cfg: DictConfig) -> None:
    folder = finished(cfg)
    cfg.existing = "new"
    with Run.open(cfg) as run:
        assert run.is_untouched()
        run.discard()
    assert [path.name for path in folder.parent.iterdir()] == ["seed-0"]
    assert read_json(folder / "run.json")["status"] == "finished"


def test_other_data_are_refused_where_a_run_goes_on(cfg: DictConfig) -> None:
    with Run.open(cfg) as run:
        run.begin(data={"sha256": "a" * 64, "train_rows": 10})
        run.end(Status.INTERRUPTED)
    before = (run.folder / "run.json").read_bytes()
    sentence = r"sha256 aaaaaaaa... then, bbbbbbbb... now, train_rows 10 then, 11 now.*existing=new"
    with Run.open(cfg) as run, pytest.raises(Refused, match=sentence):
        run.begin(resumes=True, data={"sha256": "b" * 64, "train_rows": 11})
    assert (run.folder / "run.json").read_bytes() == before
    with Run.open(cfg) as run:
        run.begin(resumes=True, data={"sha256": "a" * 64, "train_rows": 10})


def test_history_remembers_ends_that_were_not_good(cfg: DictConfig) -> None:
    for status, error in (
        (Status.FAILED, "one"),
        (Status.INTERRUPTED, "two"),
        (Status.FINISHED, None),
    ):
        with Run.open(cfg) as run:
            run.begin()
            run.end(status, error=error)
    history = [(end["status"], end["error"]) for end in run.record["history"]]
    assert history == [("failed", "one"), ("interrupted", "two")]
    assert run.record["error"] is None
