"""Exact sums, whenever the waiting batches are counted, and what the group `metrics` adds."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from helpers.small_runs import trainer
from mixlab.config.keys import config_dir
from mixlab.errors import UserError
from mixlab.models import ImageClassifier
from mixlab.models.metrics import (
    BATCHES_TOGETHER,
    NegativeLogLikelihood,
    RunningMetrics,
    build_metrics,
    recorded_metrics,
    single_numbers,
)

Batches = list[tuple[Tensor, Tensor, Tensor]]


def batches(sizes: list[int], seed: int) -> Batches:
    """Loss, logits and class numbers, or soft targets in every other batch."""
    generator = torch.Generator().manual_seed(seed)
    made: Batches = []
    for number, size in enumerate(sizes):
        logits = torch.randn(size, 5, generator=generator)
        targets = torch.randint(5, (size,), generator=generator)
        dense = F.one_hot(targets, 5).float()
        made.append((F.cross_entropy(logits, targets), logits, dense if number % 2 else targets))
    return made


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=2 * BATCHES_TOGETHER + 3),
    counted_after=st.sets(st.integers(0, 2 * BATCHES_TOGETHER)),
    seed=st.integers(0, 2**31),
)
def test_sums_do_not_depend_on_when_the_waiting_are_counted(
    sizes: list[int], counted_after: set[int], seed: int
) -> None:
    plain, eager = RunningMetrics(), RunningMetrics()
    for number, batch in enumerate(batches(sizes, seed)):
        plain.add(*batch)
        eager.add(*batch)
        if number in counted_after:
            eager = RunningMetrics.of(eager.sums())  # as a checkpoint does
    assert torch.equal(plain.sums(), eager.sums())


def test_means_are_over_rows_not_over_batches() -> None:
    made = batches([7, 1, 4] * BATCHES_TOGETHER, seed=0)
    tally = RunningMetrics()
    for batch in made:
        tally.add(*batch)
    logits = torch.cat([logits for _, logits, _ in made])
    classes = torch.cat([t.argmax(1) if t.ndim == 2 else t for _, _, t in made])
    means = tally.means(lambda sums: sums, torch.device("cpu"))
    torch.testing.assert_close(means["loss"], F.cross_entropy(logits, classes))
    torch.testing.assert_close(means["accuracy"], (logits.argmax(1) == classes).float().mean())


FILES = sorted((config_dir() / "metrics").glob("*.yaml"))
ROWS = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
TRUE = torch.randint(6, (40,), generator=torch.Generator().manual_seed(3))


def shipped(name: str) -> dict[str, Any]:
    return yaml.safe_load((config_dir() / "metrics" / f"{name}.yaml").read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_file_is_metrics_that_know_their_direction(file: Path) -> None:
    for metric in build_metrics(shipped(file.stem), 6):
        assert metric.torchmetric is not None
        assert metric.higher_is_better is (metric.name not in ("ece", "nll"))
        assert metric.unit in ("", "%")
        several = "num_labels" in vars(metric.torchmetric)
        metric.torchmetric.update(ROWS.softmax(1), F.one_hot(TRUE) if several else TRUE)
        found = single_numbers({"x": metric.torchmetric.compute()})["x"]
        assert found > 0 and (found <= 1 or metric.name == "nll")


def test_validation_and_test_log_them_over_the_whole_set_and_training_does_not(tmp_path) -> None:
    metrics = build_metrics({**shipped("balanced_accuracy"), **shipped("calibration")}, 6)
    network = torch.nn.Identity()
    model = ImageClassifier(network, torch.optim.SGD, metrics=metrics, channels_last=False)
    batches = DataLoader(TensorDataset(ROWS, TRUE), batch_size=30)
    part = DataLoader(TensorDataset(ROWS[:10], TRUE[:10]), batch_size=30)
    for loader in (part, batches):  # the second knows nothing of the first
        (found,) = trainer(tmp_path).validate(model, loader, verbose=False)
    recall = [(ROWS.argmax(1) == TRUE)[TRUE == k].float().mean() for k in range(6)]
    assert found["val/balanced_accuracy"] == pytest.approx(float(torch.stack(recall).mean()))
    confidence, right = ROWS.softmax(1).max(1)[0], (ROWS.argmax(1) == TRUE).float()
    bins = (confidence * 15).ceil()
    gaps = [(confidence - right)[bins == k].sum().abs() for k in range(1, 16)]
    assert found["val/ece"] == pytest.approx(float(sum(gaps) / 40), abs=1e-6)
    assert set(model.more) == {"val", "test"} and not model.state_dict()


def nll(*batches: tuple[Tensor, Tensor]) -> Tensor:
    metric = NegativeLogLikelihood()
    for scores, targets in batches:
        metric.update(scores, targets)
    return metric.compute()


def test_nll_is_the_cross_entropy_of_all_rows() -> None:
    shares = ROWS.softmax(1)
    found = nll((shares[:3], TRUE[:3]), (shares[3:], TRUE[3:]))
    torch.testing.assert_close(found, F.cross_entropy(ROWS, TRUE))
    pixels, classes = torch.randn(2, 6, 4, 4), torch.randint(6, (2, 4, 4))
    torch.testing.assert_close(nll((pixels, classes)), F.cross_entropy(pixels, classes))


def test_nll_of_sigmoids_is_of_their_shares_and_zero_is_finite() -> None:
    torch.testing.assert_close(nll((7 * ROWS.softmax(1), TRUE)), F.cross_entropy(ROWS, TRUE))
    assert 80 < nll((torch.tensor([[1.0, 0.0]]), torch.tensor([1]))) < 100


def test_a_model_without_them_has_loss_and_accuracy() -> None:
    model = ImageClassifier(torch.nn.Identity(), torch.optim.SGD)
    assert recorded_metrics(model) == {
        "accuracy": {"unit": "%", "higher_is_better": True},
        "loss": {"unit": "", "higher_is_better": False},
    }


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"mine": {"_target_": "torch.nn.Identity"}}, "metrics.mine: .* is not a torchmetrics"),
        ({"f1": {"_target_": shipped("f1")["f1"]["_target_"], "avrage": 1}}, "avrage"),
        ({"loss": shipped("f1")["f1"]}, "metrics.loss: every model has loss already"),
    ],
)
def test_metrics_that_cannot_be(node: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_metrics(node, 6)


def test_a_metric_is_one_number() -> None:
    with pytest.raises(UserError, match="metrics.each is not one number"):
        single_numbers({"each": torch.zeros(6)})


def test_a_node_may_say_unit_and_direction_and_null_takes_it_out() -> None:
    node = {**shipped("f1")["f1"], "unit": "points", "higher_is_better": False}
    (metric,) = build_metrics({"f1": node, "gone": None}, 6)
    assert (metric.unit, metric.higher_is_better) == ("points", False)
