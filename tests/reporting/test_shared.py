"""What all arms share is one line, and holds nothing in which an arm differs."""

import pytest

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.reporting.shared import differing, shared
from mixlab.runs.records import find

ROWS = "1150 training, 287 validation, 360 test rows"
FLIP = {"_target_": "mixlab.data.FlipCrop", "flip": True, "crop_padding": 4, "force": False}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, f"10 epochs, Adam, lr 0.001, batch 32, no augmentation, {ROWS}"),
        ({"trainer.max_epochs": 1},
         f"1 epoch, Adam, lr 0.001, batch 32, no augmentation, {ROWS}"),
        ({"augmentation": FLIP, "data.image_size": 16, "optimizer.lr": 1.0},
         "10 epochs, Adam, lr 1, batch 32, augmentation FlipCrop flip crop_padding=4, 16 px, "
         + ROWS),
        ({"scheduler": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"}},
         f"10 epochs, Adam, lr 0.001, OneCycleLR, batch 32, no augmentation, {ROWS}"),
    ],
)  # fmt: skip
def test_the_line_of_a_block(tmp_path, changes, expected):
    for node in (None, mixing("Mixup")):
        write_run(tmp_path, config(node, **changes), 0)
    (block,) = compare_runs(find([tmp_path])).blocks
    assert shared(block) == expected


@pytest.mark.parametrize(
    ("key", "values", "missing"),
    [
        ("optimizer.lr", (0.1, 0.01), "lr"),
        ("trainer.max_epochs", (5, 10), "epochs"),
        ("augmentation", (None, FLIP), "augmentation"),
    ],
)
def test_what_differs_is_not_shared(tmp_path, key, values, missing):
    for value in values:
        write_run(tmp_path, config(**{key: value}), 0)
    (block,) = compare_runs(find([tmp_path]), Question(by=(key,))).blocks
    assert len(block.arms) == 2 and missing not in shared(block) and "batch 32" in shared(block)


def test_rows_that_differ_are_not_shared(tmp_path):
    for seed in range(2):
        write_run(tmp_path, config(), seed, data={"train_rows": 100 + seed})
    assert "rows" not in shared(compare_runs(find([tmp_path])).blocks[0])


@pytest.mark.parametrize(("other", "is_said"), [(0.2, True), (0.4, False), (None, False)])
def test_a_strength_that_all_mixing_arms_have_is_shared(tmp_path, other, is_said):
    nodes = [None, mixing("Mixup"), mixing("CutMix")]
    for node, strength in zip(nodes, (None, 0.2, other), strict=True):
        write_run(tmp_path, config(node and node | {"strength": strength}), 0)
    (block,) = compare_runs(find([tmp_path])).blocks
    assert shared(block).endswith("rows, mixing arms: strength 0.2") == is_said
    assert ("strength" in shared(block)) == is_said


def test_the_settings_leave_out_a_probability_that_a_strength_replaces(tmp_path):
    for node in (None, mixing("Mixup"), mixing("Mixup") | {"strength": 0.2}):
        write_run(tmp_path, config(node), 0)
    rows = dict(differing(compare_runs(find([tmp_path])).blocks[0])["rows"])
    assert rows["mixing.probability"] == ["", "1.0", ""]
    assert rows["mixing.strength"] == ["", "", "0.2"]
