"""Short runs trained twice are equal to the bit, and a difference of one bit is found."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from helpers import recorded_runs
from helpers.image_folders import write_folder
from helpers.recorded_runs import DIGITS, FILES, differences, stop_half_way, written_down

RUN = {
    "losses": ["2.5", "2.25"],
    "metrics.csv": "0a",
    "best.ckpt": {"weight": "1b", "bias": "2c"},
    "last.ckpt": {"weight": "3d", "bias": "4e"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images enough for twelve batches; no test here trains on Fashion-MNIST."""
    folder = tmp_path_factory.mktemp("data")
    write_folder(folder / "flowers5", rows=150)
    (folder / "fashion_mnist.npz").touch()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["one_of", "averaged", "resumed", "two_ranks", "flowers_workers"])
def test_a_run_trained_twice_is_equal_to_the_bit(data: Path, name: str) -> None:
    """Two processes at once; of the run that is stopped half way, only one is stopped."""
    words = {**DIGITS, **FILES}[name]
    with ThreadPoolExecutor(2) as pool:
        stops = (False, name == "resumed")
        once, again = pool.map(lambda stop: {name: written_down(words, data, stop)}, stops)
    assert len(once[name]["losses"]) == (48 if name == "resumed" else 24)
    assert once[name].keys() == RUN.keys() and once[name]["last.ckpt"]
    assert differences(once, again) == []


@pytest.mark.slow
def test_a_run_that_starts_again_has_not_gone_on(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_and_lose(command: list[str], folder: Path) -> None:
        stop_half_way(command, folder)
        for path in [*folder.rglob("*.ckpt")]:
            path.unlink()

    monkeypatch.setattr(recorded_runs, "stop_half_way", stop_and_lose)
    with pytest.raises(SystemExit, match="from scratch"):
        written_down(DIGITS["resumed"], data, interrupt=True)


def check(monkeypatch: pytest.MonkeyPatch, file: Path, data: Path, *words: str) -> Any:
    """The exit status, or the message, of `check` where every run trained gives RUN."""
    monkeypatch.setattr(recorded_runs, "written_down", lambda *_, **__: deepcopy(RUN))
    argv = ["recorded_runs", "check", str(file), "--data", str(data), *words]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        recorded_runs.main()
    return end.value.code


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("losses", 1), "2.250000000000001"),
        (("losses", 0), None),
        (("metrics.csv",), "0b"),
        (("metrics.csv",), None),
        (("last.ckpt", "bias"), "4f"),
        (("last.ckpt", "bias"), None),
        (("best.ckpt",), None),
        ((), None),
    ],
)
def test_each_changed_or_lost_fact_of_a_file_is_found(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: tuple,
    value: str | None,
) -> None:
    record: Any = {name: deepcopy(RUN) for name in (*DIGITS, *FILES)}
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    assert check(monkeypatch, file, data) == 0
    *way, last = ("mixup", *place)
    inner = record
    for key in way:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    file.write_text(json.dumps(record))
    whole = {name: RUN for name in record} | {"mixup": RUN}
    assert differences(whole, record), "the runs that are trained may lack it, too"
    assert check(monkeypatch, file, data) == 1
    assert "mixup" in capsys.readouterr().out.split("flowers_workers: 2 steps")[-1]


def test_a_record_of_all_runs_serves_a_check_of_the_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps({name: RUN for name in (*DIGITS, *FILES)}))
    assert check(monkeypatch, file, tmp_path, "--digits") == 0
    message = check(monkeypatch, file, tmp_path)
    assert "fashion_mnist.npz is missing: `mixlab-train data=fashion_mnist`" in message
    assert "flowers5 is missing: make it of three" in message
