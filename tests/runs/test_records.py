"""Runs are found wherever the path points, and odd ones are told, not dropped."""

import fcntl
import json
import os
import shutil

import pytest

from helpers.written_runs import config, mixing, quickstart, write_run, write_sweep
from mixlab.runs.records import find, one_line, read_run


@pytest.fixture
def sweep(tmp_path):
    return quickstart(tmp_path, seeds=range(2))


def folders(found):
    return sorted(run.folder for run in found.runs)


def test_every_kind_of_path_leads_to_the_runs(tmp_path, sweep, monkeypatch):
    everything = folders(find([tmp_path]))
    assert len(everything) == 6
    for path in (sweep, sweep / "sweep.json", tmp_path / "runs", tmp_path / "runs/synthetic"):
        assert folders(find([path])) == everything
    assert folders(find([str(tmp_path / "runs/*/*none*")])) == everything[4:]
    assert folders(find([str(tmp_path / "**/seed-1")])) == everything[1::2]
    assert folders(find([everything[0]])) == everything[:1]
    assert folders(find([everything[0] / "run.json"])) == everything[:1]
    assert folders(find([everything[0].parent])) == everything[:2]
    monkeypatch.chdir(tmp_path)
    assert folders(find(["runs"])) == everything


def test_a_glob_that_the_shell_expanded(tmp_path, sweep):
    expanded = sorted((tmp_path / "runs/synthetic").glob("*/*"))
    assert folders(find(expanded)) == folders(find([tmp_path]))


def test_a_run_counts_once(tmp_path, sweep):
    run = next(tmp_path.glob("runs/*/*/seed-0"))
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    assert len(find([sweep, tmp_path, run, run, tmp_path / "link"]).runs) == 6


def test_what_a_sweep_plans_and_is_not_there_is_planned(tmp_path, sweep):
    gone = next(tmp_path.glob("runs/*/*mixup*/seed-1"))
    shutil.rmtree(gone)
    planned = [run for run in find([sweep]).runs if run.status == "planned"]
    assert [run.folder for run in planned] == [gone]
    assert (planned[0].seed, planned[0].slug) == (1, "digits-cnn-mixup")
    assert planned[0].arm == read_run(gone.parent / "seed-0").arm


def test_checkpoints_and_figures_are_not_searched(tmp_path, sweep):
    run = next(tmp_path.glob("runs/*/*/seed-0"))
    (run / "checkpoints/old").mkdir(parents=True)
    shutil.copy(run / "run.json", run / "checkpoints/old/run.json")
    assert len(find([tmp_path]).runs) == 6


@pytest.mark.parametrize("path", ["nothing", "no*thing", "empty"])
def test_a_path_without_runs_is_one_sentence(tmp_path, path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"(there is no|no run.json).*give a run folder"):
        find([tmp_path / path])


def test_a_broken_sweep_is_one_sentence(tmp_path, sweep):
    (sweep / "sweep.json").write_text('{"name": 1}')
    with pytest.raises(ValueError, match="sweep.json lists no runs"):
        find([sweep])


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"status": "sleeping"}', '{"status": null}'])
def test_a_broken_record_is_unreadable_with_its_reason(tmp_path, text):
    folder = write_run(tmp_path, config(), 3)
    (folder / "run.json").write_text(text)
    run = read_run(folder)
    assert (run.status, run.seed, run.slug) == ("unreadable", 3, "digits-cnn-none")
    assert "run.json" in run.problem


def test_odd_values_are_no_values(tmp_path):
    folder = write_run(tmp_path, config(), 0)
    record = json.loads((folder / "run.json").read_text())
    record["results"] = {"best": [1], "last": {"a": "0.9", "b": True, "c": None, "d": 1}}
    (folder / "run.json").write_text(json.dumps(record).replace('"c": null', '"c": NaN'))
    run = read_run(folder)
    assert [run.value("last", name) for name in "abcd"] == [None, None, None, 1.0]
    assert run.value("best", "a") is None


def test_a_broken_configuration_is_empty(tmp_path):
    folder = write_run(tmp_path, config(), 0)
    (folder / "config.yaml").write_text("a: [1")
    assert read_run(folder).config == {}
    (folder / "config.yaml").unlink()
    assert read_run(folder).config == {}


def test_running_is_told_from_the_lock(tmp_path):
    folder = write_run(tmp_path, config(mixing("CutMix")), 0, status="running")
    assert read_run(folder).status == "running"  # no lock to tell from
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert read_run(folder).status == "running"
    os.close(lock)
    assert (read_run(folder).status, read_run(folder).problem) == (
        "interrupted",
        "its process is gone",
    )


def test_a_run_outside_the_usual_layout(tmp_path):
    folder = write_run(tmp_path, config(), 4)
    other = shutil.copytree(folder, tmp_path / "my favorite run")
    run = read_run(other)
    assert (run.seed, run.arm) == (4, read_run(folder).arm)


def test_one_line():
    assert one_line("a\nb\x1b[31m\tc") == "a b [31m c"
    assert one_line("x" * 300) == "x" * 197 + "..."


def test_sweeps_are_remembered(tmp_path, sweep):
    other = write_sweep(tmp_path, "other", [])
    assert sorted(find([tmp_path]).sweeps) == sorted([sweep, other])
