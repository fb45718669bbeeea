"""Honest figures that are weak get a word, and strong ones get none."""

import json

import pytest

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

RISING = "the best epoch was among the last two in {} of {} runs"


def notes(path, **question):
    found = compare_runs(find([path]), Question(**question))
    return "\n".join([*found.notes, *(note for b in found.blocks for note in b.notes)])


def with_best(root, epochs, of=10, node=None):
    """One run for each of `epochs`, counted from 0, as the epoch of its best checkpoint."""
    for seed, epoch in enumerate(epochs):
        test = {"epoch": epoch, "test/accuracy": 0.9}
        write_run(root, node or config(), seed, epochs=of, results={"best": test, "last": test})


@pytest.mark.parametrize(
    ("epochs", "late"), [([9, 8, 7], 2), ([9, 9, 9], 3), ([7, 7, 9], 0), ([9, 7], 0)]
)
def test_training_that_was_still_improving(tmp_path, epochs, late):
    with_best(tmp_path, epochs)
    told = notes(tmp_path)
    assert ("may change the order" in told) == bool(late)
    assert not late or RISING.format(late, len(epochs)) in told


@pytest.mark.parametrize(("of", "told"), [(2, False), (3, False), (4, True)])
def test_of_two_or_three_epochs_the_last_two_say_nothing(tmp_path, of, told):
    with_best(tmp_path, [of - 1, of - 1], of=of)
    assert ("may change the order" in notes(tmp_path)) == told


def test_each_block_has_its_own_note(tmp_path):
    with_best(tmp_path, [9, 9], node=config(**{"data.name": "rising"}))
    with_best(tmp_path, [2, 2], node=config(**{"data.name": "level"}))
    blocks = {b.title: "".join(b.notes) for b in compare_runs(find([tmp_path])).blocks}
    assert "2 of 2 runs" in blocks["rising, cnn"] and not blocks["level, cnn"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"trainer.limit_test_batches": 1}, "on 90 of 360 test rows (limit_test_batches=1)"),
        ({"trainer.limit_test_batches": 2}, "on 180 of 360 test rows (limit_test_batches=2)"),
        ({"trainer.limit_test_batches": 0.5}, "on 180 of 360 test rows (limit_test_batches=0.5)"),
        ({"trainer.fast_dev_run": True}, "on 90 of 360 test rows (fast_dev_run=true)"),
        ({"trainer.limit_test_batches": 1, "data.eval_batch_size": None},
         "limit_test_batches=1 cut the test set"),
        ({"trainer.limit_val_batches": 1},
         "chosen on 96 of 287 validation rows (limit_val_batches=1)"),
        ({"trainer.limit_test_batches": 1.0}, ""),
        ({"trainer.limit_test_batches": 4, "trainer.limit_val_batches": 3}, ""),
    ],
)  # fmt: skip
def test_rows_that_a_limit_left_out(tmp_path, settings, sentence):
    """Batches are of nearly equal size: 360 rows are four of 90, 287 are 96, 96 and 95."""
    size = {"data.eval_batch_size": 100} | settings
    for seed in range(3):
        write_run(tmp_path, config(**size), seed)
    told = notes(tmp_path)
    assert told.count(sentence) == 1 if sentence else "rows" not in told and "cut" not in told


def test_few_rows_that_chose_the_checkpoint(tmp_path):
    def told(rows, **more):
        folder = tmp_path / str(rows)
        write_run(folder, config(), 0, data={"val_rows": rows, "test_rows": 360}, **more)
        return notes(folder)

    assert "the best checkpoint was chosen on 1 validation row: too few" in told(1)
    assert "the best checkpoint was chosen on 49 validation rows: too few" in told(49)
    assert "too few" not in told(50)
    assert "too few" not in told(2, validation=False), "nothing was chosen"


@pytest.mark.parametrize(
    ("metric", "margin", "is_told"),
    [("test/accuracy", 0.5, True), ("test/accuracy", 0.1, False), ("test/loss", 0.5, False)],
)
def test_a_wide_margin(tmp_path, metric, margin, is_told):
    for seed in range(2):
        write_run(tmp_path, config(), seed)
        write_run(tmp_path, config(mixing("Mixup")), seed)
    told = notes(tmp_path, metric=metric, margin=margin)
    assert ("a margin of 50 points calls nearly everything equivalent" in told) == is_told


def test_a_run_without_figures_has_no_word(tmp_path):
    folder = write_run(tmp_path, config(), 0)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"data": None, "epochs": None}))
    assert "rows" not in notes(tmp_path)
