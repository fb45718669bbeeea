from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from mixlab.callbacks import MixingCallback
from mixlab.data import ArrayDataset, Datasets, ImageDataModule
from mixlab.mixing import Mixup
from mixlab.models import ImageClassifier, TimmScheduler
from mixlab.models.losses import cross_entropy
from mixlab.models.metrics import MOST_CONFUSED, ClassMetrics, RunningMetrics
from mixlab.models.networks import CNN, ResNet

SGD = partial(torch.optim.SGD, lr=0.1)


def data(rows: int = 37, *, channels: int = 1, batch_size: int = 8, **options) -> ImageDataModule:
    """Pictures that are brighter the higher their class, in batches of unequal size."""
    targets = torch.arange(rows) % 3
    noise = torch.rand(rows, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    images = ((noise + targets.view(-1, 1, 1, 1)) * 80).to(torch.uint8)
    sets = (ArrayDataset(images, targets), None, ArrayDataset(images[:20], targets[:20]))
    return ImageDataModule(
        Datasets(*sets), batch_size=batch_size, eval_batch_size=9, val_size=10, **options
    )


def classifier(module: ImageDataModule, optimizer=SGD, scheduler=None, **options):
    torch.manual_seed(0)
    return ImageClassifier(CNN(module.spec, dropout=0.0), optimizer, scheduler, **options)


def trainer(epochs: int = 1, **options) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **options,
    )


def judged(model: nn.Module, part) -> tuple[float, float]:
    """Mean loss and accuracy over all rows of a part at once."""
    images, targets = part.data.images[part.rows].float() / 255, part.data.targets[part.rows]
    with torch.no_grad():
        logits = model.eval()(images)
    right = (logits.argmax(1) == targets).float().mean()
    return nn.functional.cross_entropy(logits, targets).item(), right.item()


def test_metrics_are_means_over_rows_whatever_the_batches():
    module = data()
    model = classifier(module, partial(torch.optim.SGD, lr=0.0), label_smoothing=0.1)
    fitted = trainer()
    fitted.fit(model, module)
    metrics = {name: value.item() for name, value in fitted.callback_metrics.items()}
    assert metrics.keys() == {f"{s}/{m}" for s in ("train", "val") for m in ("loss", "accuracy")}
    loss, accuracy = judged(model, module.parts.val)
    assert metrics["val/loss"] == pytest.approx(loss, rel=1e-5)  # without the smoothing
    assert metrics["val/accuracy"] == pytest.approx(accuracy)
    part = module.parts.train
    assert metrics["train/accuracy"] == pytest.approx(judged(model, part)[1])
    images, targets = part.data.images[part.rows].float() / 255, part.data.targets[part.rows]
    smoothed = cross_entropy(model(images), targets, 0.1).item()
    assert metrics["train/loss"] == pytest.approx(smoothed, rel=1e-5)

    tested = fitted.test(model, module, verbose=False)[0]
    loss, accuracy = judged(model, module.parts.test)
    assert tested == {
        "test/loss": pytest.approx(loss, rel=1e-5), "test/accuracy": pytest.approx(accuracy)
    }  # fmt: skip
    rows = [(module.parts.test.data.targets == number).sum().item() for number in range(3)]
    right = [part * whole for part, whole in zip(model.class_accuracy, rows, strict=True)]
    assert sum(right) / sum(rows) == pytest.approx(accuracy)


def test_it_learns():
    module = data(200)
    fitted = trainer(8)
    fitted.fit(classifier(module, partial(torch.optim.Adam, lr=0.01)), module)
    assert fitted.callback_metrics["val/accuracy"] > 0.9
    assert fitted.callback_metrics["train/accuracy"] > 0.8


def test_predictions_cover_the_test_set():
    module = data()
    batches = trainer().predict(classifier(module), module)
    assert torch.cat(batches).shape == (20, 3)  # pyright: ignore


def test_a_tally_counts_soft_labels_by_their_largest_share():
    tally = RunningMetrics()
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    tally.add(torch.tensor(2.0), logits, torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]))
    tally.add(torch.tensor(1.0), logits[:1], torch.tensor([1]))
    means = tally.means(lambda sums: sums, torch.device("cpu"))
    assert means["loss"].item() == pytest.approx((3 * 2 + 1) / 4)
    assert means["accuracy"].item() == pytest.approx(2 / 4)
    both = tally.means(lambda sums: 2 * sums, torch.device("cpu"))  # as over two equal ranks
    assert both == {name: pytest.approx(value) for name, value in means.items()}
    again = RunningMetrics.of(tally.sums()).means(lambda sums: sums, torch.device("cpu"))
    assert again == means


def test_classes_are_counted_apart_and_one_without_rows_has_no_accuracy():
    tally = ClassMetrics()
    assert tally.accuracy(lambda counts: counts) == []
    tally.add(torch.tensor([0, 1, 0, 3]), torch.tensor([0, 1, 1, 2]), num_classes=4)
    tally.add(torch.tensor([1]), torch.tensor([1]), num_classes=4)
    assert tally.accuracy(lambda counts: counts) == [1.0, 2 / 3, 0.0, None]
    assert tally.accuracy(lambda counts: 2 * counts) == [1.0, 2 / 3, 0.0, None]
    assert tally.confusion is not None
    assert tally.confusion.tolist() == [[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_more_classes_than_a_matrix_may_have_are_counted_without_one():
    classes = torch.tensor([0, MOST_CONFUSED, 5])
    tally = ClassMetrics()
    for _ in range(2):
        tally.add(classes, classes.clamp(max=MOST_CONFUSED - 1), MOST_CONFUSED + 1)
    accuracy = tally.accuracy(lambda counts: counts)
    assert tally.confusion is None and len(accuracy) == MOST_CONFUSED + 1
    assert (accuracy[0], accuracy[5], accuracy[MOST_CONFUSED - 1], accuracy[-1]) == (1, 1, 0, None)


def test_an_epoch_that_is_cut_short_is_reported():
    module = data()
    fitted = trainer(epochs=-1, max_steps=2)
    fitted.fit(classifier(module), module)
    assert "train/loss" in fitted.callback_metrics


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_precisions(precision, loss):
    module = data()
    fitted = trainer(precision=precision, callbacks=[MixingCallback(Mixup(alpha=1.0))])
    model = classifier(module, loss=loss)
    fitted.fit(model, module)
    assert fitted.callback_metrics["train/loss"].isfinite()
    kinds = {"bf16-true": torch.bfloat16, "bf16-mixed": torch.float32, "64-true": torch.float64}
    assert model.network[0].weight.dtype == kinds[precision]


def test_memory_format_does_not_change_the_result():
    images = torch.rand(4, 3, 28, 28)
    module = data(channels=3)
    outputs = []
    for channels_last in (True, False):
        model = classifier(module, channels_last=channels_last)
        assert model.network[0].weight.is_contiguous(memory_format=model.layout)
        outputs.append(model(images))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        (None, [0.1, 0.1, 0.1, 0.1]),
        (partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[2]), [0.1, 0.1, 0.01, 0.01]),
        (TimmScheduler("step", epochs=4, decay_epochs=1, decay_rate=0.5, warmup_epochs=1,
                       warmup_lr=0.001), [0.001, 0.05, 0.025, 0.0125]),
    ],
)  # fmt: skip
def test_schedulers_step_once_an_epoch(scheduler, rates):
    seen = []

    class Rate(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = data()
    trainer(4, callbacks=[Rate()]).fit(classifier(module, SGD, scheduler), module)
    assert seen == pytest.approx(rates)


def test_weight_decay_goes_where_it_is_told():
    module = data()
    model = ImageClassifier(
        ResNet(module.spec, depth=8), partial(SGD, weight_decay=0.5), weight_decay_on="convolutions"
    )
    decays = [group["weight_decay"] for group in model.configure_optimizers().param_groups]
    assert decays == [0.5, 0.0]


def test_checkpoints_hold_only_what_a_safe_loader_reads(tmp_path):
    module, path = data(), tmp_path / "last.ckpt"
    fitted = trainer()
    model = classifier(module)
    fitted.fit(model, module)
    fitted.save_checkpoint(path)
    state = torch.load(path, weights_only=True)["state_dict"]
    assert state.keys() == {f"network.{name}" for name in model.network.state_dict()}
    tested = trainer().test(classifier(module), module, ckpt_path=path, weights_only=True)
    assert tested[0]["test/loss"] == pytest.approx(judged(model, module.parts.test)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "mse"}, "model.loss must be one of cross_entropy, binary_cross_entropy"),
        ({"label_smoothing": 1.0}, r"model.label_smoothing must be a number in \[0, 1\), got 1.0"),
        ({"label_smoothing": "0.1"}, "model.label_smoothing"),
        ({"weight_decay_on": "bias"}, "model.weight_decay_on"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(ValueError, match=words):
        classifier(data(), **options)


@pytest.mark.parametrize("wrong", [{"lr": "fast"}, {"speed": 1}])
def test_an_optimizer_that_cannot_be_made(wrong):
    model = classifier(data(), partial(torch.optim.SGD, **wrong))
    with pytest.raises(ValueError, match="optimizer or scheduler cannot be made: "):
        model.configure_optimizers()
