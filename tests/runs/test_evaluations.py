"""`evaluation.json`: entries that keep to themselves, and what a comparison makes of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from helpers.written_runs import quickstart, write_evaluations
from mixlab.errors import UserError
from mixlab.runs.evaluations import FILE, add_entries, with_evaluations
from mixlab.runs.locks import taken
from mixlab.runs.records import find


def entry(metric: str, value: float, **changes: Any) -> dict[str, Any]:
    return {
        "run_ended": "then",
        "data": {"sha256": "d1"},
        "checkpoints": {"last": "c1"},
        "metrics": {metric: {"unit": ""}},
        "results": {"last": {f"test/{metric}": value}},
        **changes,
    }


def results_in(folder: Path, name: str) -> dict[str, float]:
    return json.loads((folder / FILE).read_text())[name]["results"]["last"]


def test_an_entry_replaces_itself_alone_and_keeps_figures_of_the_same_weights(
    tmp_path: Path,
) -> None:
    add_entries(tmp_path, {"test": entry("f1", 0.5), "val": entry("f1", 0.6)})
    add_entries(tmp_path, {"test": entry("nll", 1.5)})
    assert results_in(tmp_path, "test") == {"test/f1": 0.5, "test/nll": 1.5}
    assert results_in(tmp_path, "val") == {"test/f1": 0.6}
    add_entries(tmp_path, {"test": entry("f1", 0.4)})
    assert results_in(tmp_path, "test") == {"test/f1": 0.4, "test/nll": 1.5}


@pytest.mark.parametrize("key", ["run_ended", "data", "checkpoints"])
def test_figures_of_other_weights_or_data_are_dropped(tmp_path: Path, key: str) -> None:
    add_entries(tmp_path, {"test": entry("f1", 0.5)})
    add_entries(tmp_path, {"test": entry("nll", 1.5, **{key: {"last": "other"}})})
    assert results_in(tmp_path, "test") == {"test/nll": 1.5}


def test_a_run_in_training_takes_no_entry_and_a_broken_file_is_left(tmp_path: Path) -> None:
    lock = taken(tmp_path)
    with pytest.raises(UserError, match="is being trained by another process"):
        add_entries(tmp_path, {"test": entry("f1", 0.5)})
    os.close(lock)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UserError, match="evaluation.json is not readable JSON"):
        add_entries(tmp_path, {"test": entry("f1", 0.5)})
    assert (tmp_path / FILE).read_text() == "{"
    os.close(taken(tmp_path))  # it was given back


def test_each_way_of_testing_is_one_more_run_with_the_same_seed(tmp_path: Path) -> None:
    sweep = quickstart(tmp_path, range(3))
    folders = sorted(tmp_path.glob("runs/*/*/seed-*"))
    for folder in folders[:2]:
        write_evaluations(folder, {"test": {"f1": 0.7}, "test tta=flip": {"accuracy": 0.9}})
    found = with_evaluations(find([sweep]))
    assert len(found.runs) == 9 + 2 and not found.notes
    for folder in folders:
        plain, *others = [run for run in found.runs if run.folder == folder]
        own = json.loads((folder / "run.json").read_text())["results"]["best"]
        assert plain.evaluation == "plain" and plain.is_plain
        assert plain.value("best", "test/accuracy") == own["test/accuracy"]
        if folder in folders[:2]:
            (voted,) = others
            assert (voted.evaluation, voted.seed, voted.is_plain) == ("tta=flip", plain.seed, False)
            assert plain.value("best", "test/f1") == 0.7
            assert dict(voted.results("best")) == {"test/accuracy": 0.9}, "nothing of the run's own"
            assert voted.arm != plain.arm and voted.record["ended"] == plain.record["ended"]


def test_an_evaluation_of_an_earlier_training_does_not_count(tmp_path: Path) -> None:
    sweep = quickstart(tmp_path, range(2))
    folder = next(iter(tmp_path.glob("runs/*/*none*/seed-1")))
    write_evaluations(folder, {"test tta=flip": {"accuracy": 0.9}})
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "ended": "later"}))
    found = with_evaluations(find([sweep]))
    assert len(found.runs) == 6
    (note,) = found.notes
    assert "1 evaluation of digits-cnn-none, seed 1, older than its training: left out" in note


def test_nothing_evaluated_names_the_command_that_does(tmp_path: Path) -> None:
    sweep = quickstart(tmp_path, range(2))
    with pytest.raises(UserError, match=f"as in mixlab-evaluate run={sweep} tta=crops"):
        with_evaluations(find([sweep]))
