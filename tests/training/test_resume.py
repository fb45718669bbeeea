"""Neither another configuration nor other data are taken over silently."""

import os
from pathlib import Path

import pytest

from helpers.small_runs import composed, small, write_npz
from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.resume import ResumePoint, check_start, resume_point
from mixlab.training.sealed_files import SealedFiles
from mixlab.training.supervise import train


def begun(folder: Path, *words: str) -> str:
    """The last checkpoint, an empty file, of a run that was begun."""
    with Run.open(small(folder, *words)) as run:
        run.begin(data={"sha256": "then"})
        run.checkpoints.mkdir()
        (run.checkpoints / "last.ckpt").touch()
    return str(run.checkpoints / "last.ckpt")


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path)
    other = small(tmp_path, f"ckpt_path={path}", "optimizer.lr=0.5", "model=cnn6")
    with pytest.raises(ValueError, match=r"optimizer.lr was 0.001, is 0.5.*existing=reuse"):
        check_start(other)
    other.existing = "reuse"
    check_start(other)


def test_going_on_for_longer_is_not_another_configuration(tmp_path: Path) -> None:
    words = ("mixing=cutmix", "scheduler=cosine")
    longer = ("trainer.max_epochs=3", f"ckpt_path={begun(tmp_path, *words)}")
    check_start(small(tmp_path, *words, *longer))


def test_a_checkpoint_of_nobody_knows_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "some.ckpt").touch()
    check_start(small(tmp_path, f"ckpt_path={tmp_path}/some.ckpt"))


def test_the_data_of_the_named_run_are_looked_at(tmp_path: Path) -> None:
    longer = small(tmp_path, f"ckpt_path={begun(tmp_path)}", "trainer.max_epochs=3")
    with Run.open(longer) as run:
        with pytest.raises(ValueError, match="sha256 then then, now now.*existing=reuse"):
            run.begin(data={"sha256": "now"})
        run.cfg.existing = "reuse"
        run.begin(data={"sha256": "now"})


def test_a_finished_run_of_other_data_is_not_taken_for_this(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "mine.npz")
    words = ("data=npz", f"data.path={file}", "data.name=mine", "trainer.max_epochs=1")
    cfg = composed(*words, "trainer=cpu", "threads=1", "logger=csv", "data.batch_size=8").copy()
    cfg.paths.log_dir = str(tmp_path / "logs")
    first = train(cfg)
    os.utime(file)
    os.utime(run_folder(cfg) / "run.json", (1, 1))
    assert train(cfg) == first, "the same data, written again"
    write_npz(file, rows=48)
    with pytest.raises(ValueError, match="train_rows 40 then, 48 now.*existing=new"):
        train(cfg)
    cfg.existing = "new"
    train(cfg)
    records = [run_folder(cfg), run_folder(cfg).with_name("seed-0.1")]
    rows = [read_json(folder / "run.json")["data"]["train_rows"] for folder in records]
    assert rows == [48, 40]


def test_an_interrupted_run_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    """Not from the one that `ckpt_path` named when it began."""
    named = tmp_path / "named.ckpt"
    SealedFiles().save_checkpoint({"global_step": 1}, named)
    with Run.open(small(tmp_path, f"ckpt_path={named}")) as run:
        assert resume_point(run) == ResumePoint(named, is_own=False)
        last = run.checkpoints / "last.ckpt"
        for step in (2, 3):
            SealedFiles().save_checkpoint({"global_step": step}, last)
        assert resume_point(run) == ResumePoint(last, is_own=True)
        last.write_bytes(b"")
        start = resume_point(run)
    assert (start.checkpoint, start.is_own) == (run.checkpoints / "previous.ckpt", True)
    assert start.words == f"previous.ckpt; {last} is broken: it is empty"
