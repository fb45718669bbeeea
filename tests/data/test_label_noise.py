"""Wrong and few labels: exactly so many, for every seed alike, and in the training set alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data import Datasets, ImageDataModule
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.label_noise import LabelNoise, fewer_rows
from mixlab.errors import UserError
from mixlab.mixing import Batch

CLASSES = 4


def dataset(rows: int = 80) -> ArrayDataset:
    images = torch.arange(rows, dtype=torch.uint8)[:, None, None, None].expand(rows, 1, 4, 4)
    return ArrayDataset(images.contiguous(), torch.arange(rows) % CLASSES, tuple("abcd"))


class Items:
    """The same rows, read one by one, whose labels are not known beforehand."""

    classes = list("abcd")

    def __init__(self, data: ArrayDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple:
        return self.data[row]


def module(data: object = None, **given: object) -> ImageDataModule:
    source = Datasets(data or dataset(), None, dataset(20))
    return ImageDataModule(source, val_size=0.25, **{"batch_size": 12, **given})  # pyright: ignore


def labels(loader: object) -> dict[int, int]:
    """The label that a loader gives to each row of its data set."""
    found: dict[int, int] = {}
    for batch in loader:  # pyright: ignore
        assert isinstance(batch, Batch) and batch.index is not None
        found |= dict(zip(batch.index.tolist(), batch.targets.tolist(), strict=True))
    return found


@given(
    share=st.floats(0, 0.99), more=st.floats(0, 0.99), seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["symmetric", "asymmetric"]), rows=st.integers(2, 200),
)  # fmt: skip
def test_exactly_so_many_are_wrong_and_nested(share, more, seed, kind, rows) -> None:
    numbers = np.arange(0, 3 * rows, 3)
    few, many = (
        LabelNoise(each, kind, seed).shift(numbers, 3 * rows, CLASSES)
        for each in sorted((share, more))
    )
    assert few.count_nonzero() == round(min(share, more) * rows)
    wrong = few.nonzero()[:, 0]
    assert torch.equal(many[wrong], few[wrong])
    assert set(wrong.tolist()) <= set(numbers.tolist())
    assert few.min() >= 0 and few.max() < CLASSES


@pytest.mark.parametrize(("kind", "steps"), [("asymmetric", {1}), ("symmetric", {1, 2, 3})])
def test_a_wrong_label_is_the_next_class_or_any_other(kind: str, steps: set[int]) -> None:
    shift = LabelNoise(0.9, kind).shift(np.arange(200), 200, CLASSES)
    assert set(shift[shift > 0].tolist()) == steps


def test_symmetric_noise_gives_every_other_class_alike() -> None:
    shift = LabelNoise(0.75).shift(np.arange(40_000), 40_000, CLASSES)
    counts = torch.bincount(shift, minlength=CLASSES)
    assert counts[0] == 10_000 and (counts[1:] / 10_000 - 1).abs().max() < 0.05


@pytest.mark.parametrize("source", [dataset(), Items(dataset())])
def test_only_training_labels_are_wrong(source: object) -> None:
    clean, noisy = module(source), module(source, label_noise=0.4)
    for loader in ("val_dataloader", "test_dataloader"):
        assert labels(getattr(clean, loader)()) == labels(getattr(noisy, loader)())
    before, after = labels(clean.train_dataloader()), labels(noisy.train_dataloader())
    assert before.keys() == after.keys()
    assert sum(before[row] != after[row] for row in before) == round(0.4 * len(before)) == 24
    assert noisy.record()["wrong_labels"] == 24 and "wrong_labels" not in clean.record()


def test_the_labels_do_not_depend_on_the_run() -> None:
    first = labels(module(label_noise=0.4, seed=0).train_dataloader())
    assert labels(module(label_noise=0.4, seed=7, batch_size=20).train_dataloader()) == first
    assert labels(module(label_noise=0.4, noise_seed=1).train_dataloader()) != first


def test_guests_are_as_wrong_as_the_rows_they_are() -> None:
    noisy = module(label_noise=0.4, guests="dataset")
    known = labels(module(label_noise=0.4).train_dataloader())
    for batch in noisy.train_dataloader():
        assert batch.guests is not None
        for row, label in zip(
            batch.guests.index.tolist(), batch.guests.targets.tolist(), strict=True
        ):
            assert known[row] == label


@given(
    sizes=st.lists(st.integers(5, 60), min_size=2, max_size=5), seed=st.integers(0, 2**32 - 1),
    fractions=st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)),
)  # fmt: skip
def test_fractions_are_stratified_and_nested(sizes, seed, fractions) -> None:
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(targets)) * 2
    few, many = (fewer_rows(rows, targets, each, seed) for each in sorted(fractions))
    assert set(few) <= set(many) and len(few) == max(1, round(min(fractions) * len(rows)))
    for label, size in enumerate(sizes):
        here = np.isin(few, rows[targets == label]).sum()
        assert abs(here - min(fractions) * size) <= 1.5


def test_fewer_rows_leave_validation_and_test_alone() -> None:
    whole, part = module(), module(fraction=0.5)
    assert len(part.parts.train) == 30 and len(part.train_dataloader()) == 3
    assert [*part.parts.val.rows] == [*whole.parts.val.rows]
    assert part.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"label_noise": 1.0}, r"data.label_noise must be a number in \[0, 1\)"),
        ({"noise_kind": "pair"}, "data.noise_kind must be one of symmetric, asymmetric"),
        ({"noise_seed": -1}, "data.noise_seed must be a whole number"),
        ({"fraction": 0}, r"data.fraction must be a number in \(0, 1\]"),
        ({"fraction": 0.02}, "leaves none of class"),
    ],
)
def test_a_slip_is_a_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        module(**given)


def test_masks_have_no_label_to_be_wrong() -> None:
    masks = ArrayDataset(
        torch.zeros(8, 1, 4, 4, dtype=torch.uint8),
        torch.arange(8, dtype=torch.uint8)[:, None, None].expand(8, 4, 4) % 2,
    )
    with pytest.raises(UserError, match="for one class an image"):
        ImageDataModule(masks, val_size=0, label_noise=0.1)


def test_noise_is_part_of_a_run(here: Path, command: Callable) -> None:
    quick = (
        "data=digits", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
        "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "logger=none", "threads=1",
    )  # fmt: skip
    for words in ([], ["data.label_noise=0.4"], ["data.fraction=0.5"]):
        said = command("train", *quick, *words)
        assert said.status == 0 and "finished already" not in said.out, said.err
    records = [json.loads(path.read_text())["data"] for path in here.rglob("run.json")]
    assert sorted(each["train_rows"] for each in records) == [575, 1150, 1150]
    assert [each["wrong_labels"] for each in records if "wrong_labels" in each] == [460]


@pytest.mark.parametrize("guests", [None, "second_pass"])
def test_wrong_labels_name_the_given_and_the_true_class(guests: str | None) -> None:
    data = module(label_noise=0.4, guests=guests)
    batch = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(batch, 0)
    parts = [part for part in (batch, batch.guests) if part is not None]
    rows = torch.cat([part.index for part in parts]).tolist()
    given = torch.cat([part.targets for part in parts]).argmax(1).tolist()
    true = [row % CLASSES for row in rows]
    wrong = {k: (g, t) for k, (g, t) in enumerate(zip(given, true, strict=True)) if g != t}
    assert len(rows) == (12 if guests is None else 24)
    assert data.wrong_labels(batch) == wrong and wrong
    assert module().wrong_labels(batch) == {}
