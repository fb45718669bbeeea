"""The model of a configuration: ours around a network, or a LightningModule of the user's."""

import inspect
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mixlab.config.allowlist import argument_names, locate
from mixlab.config.build import build, check_complete, plain
from mixlab.data import ImageDataModule
from mixlab.data.label_lists import likely_separator, with_separator
from mixlab.errors import UserError
from mixlab.models import ImageClassifier, ImageSegmenter, MultiLabelClassifier
from mixlab.models.metrics import build_metrics
from mixlab.models.networks.build import build_network


def build_model(cfg: DictConfig, data: ImageDataModule) -> Any:
    """The model, sized by the data, its initial weights a function of the seed alone.

    A LightningModule of the user's gets those of `network`, `num_classes`, `spec`, `optimizer`,
    `scheduler` and `metrics` that its constructor asks for.
    """
    pl.seed_everything(cfg.seed, workers=False, verbose=False)
    allow, node = cfg.get("allow", ()), plain(cfg.model)
    network = node.pop("network", None) or {}
    metrics = build_metrics(plain(cfg.get("metrics") or {}), data.spec.num_classes, allow)
    module = locate(node["_target_"], allow)
    if inspect.isclass(module) and not issubclass(module, pl.LightningModule):
        raise UserError(
            f"model._target_={node['_target_']} is not a LightningModule; for a network of yours "
            f"use model.network._target_={node['_target_']}"
        )
    asked = argument_names(module)
    # A key that only the network takes stands beside it for the network to refer to.
    for key in ("name", *network):
        if key != "_target_" and (asked is None or key not in asked):
            node.pop(key, None)
    offered = {
        "network": lambda: build_network(network, data.spec, allow),
        "num_classes": lambda: data.spec.num_classes,
        "spec": lambda: data.spec,
        "optimizer": lambda: build_factory("optimizer", with_scaled_rate(cfg), allow),
        "scheduler": lambda: build_factory("scheduler", cfg.get("scheduler"), allow),
        "metrics": lambda: metrics,
    }
    loss = node.get("loss")
    if (
        isinstance(loss, dict)
        and loss.get("_target_")
        and not inspect.isclass(locate(loss["_target_"], allow))
    ):
        loss["_partial_"] = True  # a function is the loss itself
    given = {name: make() for name, make in offered.items() if asked is None or name in asked}
    other = f"; it is given those of {', '.join(offered)} that it names"
    check_complete("model", node, module, given, other)
    model = build(node, allow=allow, **given)
    check_steps(model, data, tests=cfg.get("test", True))
    check_learns(model, data)
    return model


def check_steps(model: Any, data: ImageDataModule, tests: bool) -> None:
    """Raise UserError if a LightningModule lacks a method that the run will need."""
    needs = {"training_step": "", "configure_optimizers": ""}
    if data.has_validation:
        needs["validation_step"] = ", which logs val/accuracy, or set data.val_size=0"
    if data.has_test and tests:
        needs["test_step"] = ", which logs test/accuracy, or set test=false"
    for name, remedy in needs.items():
        if not is_overridden(name, model):
            raise UserError(f"{type(model).__name__} has no {name}; add one{remedy}")


def build_factory(key: str, node: Any, allow: Iterable[str]) -> Any:
    """What makes an optimizer or a scheduler later; None for no scheduler.

    `_partial_` goes without saying for a class that needs the parameters or the optimizer first.
    """
    node = plain(node or {"_target_": None})
    if node["_target_"] is None:
        return None
    target = node["_target_"]
    found = locate(target, allow)
    if inspect.isclass(found) and issubclass(found, Optimizer | LRScheduler):
        node["_partial_"] = True
        check_complete(key, node, found, [next(iter(inspect.signature(found).parameters))])
    wrong = inspect.isclass(found) and issubclass(found, nn.Module)
    factory = None if wrong else build(node, allow=allow)
    if not callable(factory):
        raise UserError(f"{key}._target_={target} does not make one; name a class of torch.optim")
    return factory


def with_scaled_rate(cfg: DictConfig) -> Any:
    """The optimizer's node with its learning rate for the rows of a step, see `lr_base_size`.

    The batch size counts the rows of all processes, so their number does not change the rate.
    """
    node, base = plain(cfg.optimizer), cfg.get("lr_base_size")
    if base is None:
        return node
    if not isinstance(node.get("lr"), int | float):
        raise UserError(
            f"lr_base_size={base} scales optimizer.lr, which is {node.get('lr')}; set optimizer.lr"
        )
    return {**node, "lr": node["lr"] * rows_of_a_step(cfg) / base}


def rows_of_a_step(cfg: DictConfig) -> int:
    """How many rows one step of the optimizer learns from, in all processes together."""
    return cfg.data.batch_size * (cfg.trainer.accumulate_grad_batches or 1)


def check_learns(model: Any, data: ImageDataModule) -> None:
    """Raise UserError if one of our models is given targets of another kind than it learns."""
    kinds = {ImageSegmenter: "masks", MultiLabelClassifier: "labels", ImageClassifier: "class"}
    learns = next((kind for cls, kind in kinds.items() if isinstance(model, cls)), None)
    has = "masks" if data.has_masks else "labels" if data.multi_label else "class"
    words = {
        "class": ("one class an image", "a classifier, as model=cnn callbacks=default"),
        "masks": ("classes of pixels", "model=segmentation callbacks=segmentation"),
        "labels": (
            "several labels an image",
            "model._target_=mixlab.models.MultiLabelClassifier model.loss=binary_cross_entropy, "
            "or class numbers in place of one-hot labels",
        ),
    }
    if learns is not None and learns != has:
        what, remedy = words[has]
        mark = likely_separator(data.spec.class_names) if learns == "labels" else None
        remedy = remedy if mark is None or has != "class" else with_separator(mark)
        raise UserError(f"{data.name} has {what}, not what this model learns; use {remedy}")
    for metric in model.metrics if learns in ("class", "labels") else ():
        kind = type(metric.torchmetric).__name__
        other = ("Multilabel",) if learns == "class" else ("Multiclass", "Binary")
        if kind.startswith(other):
            raise UserError(
                f"metrics.{metric.name} is a {kind}, which does not fit {words[has][0]}; use "
                f"{'a Multiclass' if learns == 'class' else 'a Multilabel'} metric"
            )
