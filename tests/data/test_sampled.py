"""Rows on which a strength is measured: the same whoever asks, and without a trace."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.small_runs import small
from mixlab.data import sampled
from mixlab.data.datamodule import ImageDataModule
from mixlab.training.build import build_data


def built(folder: Path, *words: str, seed: int = 0) -> ImageDataModule:
    return build_data(small(folder, *words, seed=seed))


@pytest.mark.parametrize("augmentation", ["standard", "randaugment"])
def test_they_are_the_same_for_every_seed_and_nothing_notices(
    tmp_path: Path, augmentation: str
) -> None:
    words = (f"augmentation={augmentation}", "augmentation.force=true")
    one, other = (built(tmp_path, *words, seed=each) for each in (0, 7))
    state, known = torch.get_rng_state(), np.random.get_state()[1]
    rows = one.sampled_rows(1)
    first = next(iter(other.train_dataloader()))
    again = other.sampled_rows(1)
    assert torch.equal(rows.images, again.images) and torch.equal(rows.targets, again.targets)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(known, np.random.get_state()[1])
    assert torch.equal(next(iter(other.train_dataloader())).images, first.images)
    assert rows.images.is_floating_point() and rows.targets.shape == (1024, 10)
    assert 0 < rows.images.std() and rows.shuffled


def test_few_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = built(tmp_path, "data.batch_size=32")
    monkeypatch.setattr(sampled, "SAMPLED_NUMBERS", 100 * 16 * 16)
    assert len(data.sampled_rows(1).targets) == 4 * 32, "whole batches"
    assert len(data.sampled_rows(4).targets) == 13 * 8, "of one process"


def test_rows_in_order_come_from_the_whole_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = built(tmp_path, "data.batch_size=32", "data.shuffle=false")
    monkeypatch.setattr(sampled, "SAMPLED_ROWS", 64)
    rows, expected = data.sampled_rows(1), data.training_rows
    assert not rows.shuffled and torch.equal(rows.images[:32], data.prepare.floated(expected[:32]))
    assert torch.equal(rows.images[32:], data.prepare.floated(expected[32 * 18 :][:32]))


def test_wrong_labels_are_as_wrong_as_in_the_training(tmp_path: Path) -> None:
    right, wrong = (
        built(tmp_path, f"data.label_noise={share}").sampled_rows(1).targets for share in (0, 0.4)
    )
    assert (right != wrong).any(1).double().mean() == pytest.approx(0.4, abs=0.05)
