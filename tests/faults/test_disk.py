"""A disk that is full: a small file system of the test's own, filled to the last page."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from omegaconf import DictConfig

from faults.conftest import Injected
from helpers.killed import train_in_child
from helpers.small_runs import small, train_with
from mixlab.errors import exit_status, is_user_error
from mixlab.loggers import MetricsFile
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.export import write_report
from mixlab.runs import run_folder
from mixlab.runs.atomic import DiskFull, read_json, write_json
from mixlab.runs.checkpoints import newest
from mixlab.runs.records import find
from test_resume import ALL_THAT_DRAWS, unequal

PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB, another one than that of the temporary folder."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("mounting a file system takes root")
    assert place.stat().st_dev != Path("/tmp").stat().st_dev
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, room: int = 0) -> Path:
    """Fill the disk but for `room` bytes."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        while space(disk):
            file.write(bytes(min(space(disk), 2**20)))
        file.truncate(file.tell() - room)
    assert space(disk) == room
    return filler


def space(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


class FillAt(pl.Callback):
    """Fill the disk in the second epoch."""

    def __init__(self, disk: Path, room: int) -> None:
        self.disk, self.room = disk, room

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (1, 2):
            fill(self.disk, self.room)


@pytest.fixture
def whole(tmp_path: Path) -> DictConfig:
    cfg = small(tmp_path / "whole", *ALL_THAT_DRAWS)
    assert train_in_child(cfg) == 0
    return cfg


@pytest.mark.parametrize("room", [0, 16 * PAGE], ids=["none", "little"])
def test_in_a_checkpoint(disk: Path, whole: DictConfig, room: int, injected: Injected) -> None:
    again = small(disk, *ALL_THAT_DRAWS)
    with pytest.raises(DiskFull, match="no room left on the disk to write .*make some") as error:
        train_with(again, FillAt(disk, room))
    assert is_user_error(error.value) and exit_status(error.value) == 2
    folder = run_folder(again)
    record = read_json(folder / "run.json")
    assert record["status"] == ("failed" if room else "running")
    assert not room or "no room left" in record["error"]
    path, wrong = newest(folder / "checkpoints")
    assert path is not None and path.name == "last.ckpt" and not wrong and not parts(disk)
    (disk / "filler").unlink()
    train_with(again)
    assert read_json(folder / "run.json")["resumed_from"] == "last.ckpt"
    assert unequal(whole, again) == []
    injected("disk full when a checkpoint is written", 1, "fails in a sentence; nothing lost")


def test_in_metrics_csv(disk: Path, injected: Injected) -> None:
    fill(disk, room=2 * PAGE)
    file, written = MetricsFile(str(disk)), 0
    with pytest.raises(DiskFull, match="no room left on the disk to write .*metrics.csv"):
        for written in range(10_000):
            file.log_metrics({"train/loss": 1.25, "epoch": 0}, written)
    assert not file.path.read_bytes().endswith(b"\n"), "a torn last line"
    (disk / "filler").unlink()
    again = MetricsFile(str(disk))
    again.resume(10_000)
    rows = [f"0,{step},1.25" for step in range(written)]
    assert file.path.read_text().splitlines() == ["epoch,step,train/loss", *rows]
    injected("disk full when metrics.csv is written", 1, "the torn row goes, the others stay")


def test_in_run_json(disk: Path, injected: Injected) -> None:
    write_json(disk / "run.json", {"status": "running"})
    fill(disk)
    with pytest.raises(DiskFull, match="run.json"):
        write_json(disk / "run.json", {"status": "finished"})
    assert read_json(disk / "run.json") == {"status": "running"} and not parts(disk)
    injected("disk full when run.json is written", 1, "the record before is whole")


@pytest.mark.parametrize("room", [0, PAGE])
def test_in_a_report(disk: Path, whole: DictConfig, room: int, injected: Injected) -> None:
    comparison = compare_runs(find([run_folder(whole)]))
    write_report(comparison, disk, ["mixlab-compare"])
    before = {path: path.read_bytes() for path in disk.iterdir()}
    fill(disk, room)
    with pytest.raises(DiskFull, match="report"):
        write_report(comparison, disk, ["mixlab-compare"])
    (disk / "filler").unlink()
    assert {path.name for path in disk.iterdir()} == {path.name for path in before}
    assert all(path.stat().st_size for path in before)
    injected("disk full when a report is written", 1, "fails in a sentence; no half file")
