"""What a run says of itself before it trains: data, model, method, device, folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from mixlab.callbacks import HiddenMixingCallback, LearnedMixingCallback, MixingCallback
from mixlab.callbacks.layers import chosen_layers
from mixlab.callbacks.learned_mixing import map_layer
from mixlab.callbacks.mixing import mixing_callbacks
from mixlab.config.build import plain
from mixlab.config.keys import leaves
from mixlab.data import ImageDataModule
from mixlab.data.label_lists import lists_as_classes
from mixlab.errors import counted
from mixlab.loggers import WandbRun
from mixlab.mixing.schedule import mean_factor
from mixlab.reporting.cautions import FEW_ROWS
from mixlab.runs.identity import of_mixing
from mixlab.runs.records import shown_path
from mixlab.training.build import Experiment
from mixlab.training.mixing_cautions import mixing_cautions
from mixlab.training.model import rows_of_a_step, with_scaled_rate

MAY_BE_CSV = (".csv", ".tsv", ".txt")  # files that can have `label_separator`
NOT_SHOWN = ("_target_", "kwargs", "_partial_")


def banner(cfg: DictConfig, experiment: Experiment) -> str:
    """A few lines of `what  words`."""
    lines = dict(facts(cfg, experiment))
    width = max(map(len, lines))
    return "\n".join(f"{what:{width}}  {words}" for what, words in lines.items())


def facts(cfg: DictConfig, experiment: Experiment) -> Iterator[tuple[str, str]]:
    model = experiment.model
    yield "data", data_words(experiment.data)
    yield "model", f"{cfg.model.name}, {parameters(model)}"
    yield "mixing", mixing_words(cfg, resolved_probability(experiment)) + layer_words(experiment)
    if scheduled := [*strength_words(mixing_callbacks(experiment.trainer))]:
        yield "strength", "; ".join(scheduled)
    if hasattr(model, "optimizer_factory"):
        yield "optimizer", optimizer_words(cfg)
    synchronized = experiment.trainer.world_size > 1 and cfg.trainer.get("sync_batchnorm")
    over_all = ", batch statistics over all processes" if synchronized else ""
    yield "training", training_words(experiment) + over_all
    yield "folder", shown_path(Path(cfg.paths.run_dir))
    for logger in experiment.trainer.loggers:
        if isinstance(logger, WandbRun):
            yield "W&B", wandb_words(logger)
    if cautions := [*caution_words(experiment), *of_its_mixing(experiment)]:
        yield "caution", "; ".join(cautions)


def of_its_mixing(experiment: Experiment) -> Iterator[str]:
    """The cautions that the methods and partners of a run deserve."""
    trainer, shape = experiment.trainer, experiment.data.spec.shape
    return mixing_cautions(mixing_callbacks(trainer), shape, trainer.world_size)


def caution_words(experiment: Experiment) -> Iterator[str]:
    """What is legal and makes figures that say little."""
    data, limit = experiment.data, experiment.trainer.limit_test_batches
    train, val, test = (len(part) for part in (data.parts.train, data.parts.val, data.parts.test))
    if 0 < val < FEW_ROWS:
        yield f"{counted(val, 'validation row')} can hardly tell epochs apart"
    held_out = val and data.parts.val.data is data.parts.train.data
    if held_out and getattr(data.parts.train.data, "transform", None) is not None:
        yield "validation rows pass through the transform of the training data; set data.source.val"
    if data.batch_size > train:
        yield f"an epoch is one step: data.batch_size={data.batch_size} and {train} training rows"
    batches = -(-test // data.eval_batch_size)
    if limit < batches if isinstance(limit, int) else limit < 1:
        yield f"trainer.limit_test_batches={limit} tests only a part of the {test} test rows"
    if str(data.path).endswith(MAY_BE_CSV) and (lists := lists_as_classes(data.spec.class_names)):
        yield lists


def training_words(experiment: Experiment) -> str:
    """`15 epochs, batches of 64, cpu, 1 CPU thread`."""
    trainer = experiment.trainer
    steps = trainer.max_steps
    length = counted(trainer.max_epochs or -1, "epoch") if steps == -1 else counted(steps, "step")
    device = trainer.strategy.root_device.type
    if trainer.world_size > 1:
        device = f"{trainer.world_size} x {device}"
    threads = counted(experiment.threads, "CPU thread")
    return f"{length}, batches of {experiment.data.batch_size}, {device}, {threads}"


def data_words(data: ImageDataModule) -> str:
    """`digits: 1150 rows to train, 287 to validate, 360 to test; 10 classes, 1 x 16 x 16`."""
    rows = {"train": data.parts.train, "validate": data.parts.val, "test": data.parts.test}
    counts = ", ".join(f"{len(part)} to {what}" for what, part in rows.items() if len(part))
    spec = data.spec
    wrong = f"; {data.noise.share:.0%} of the training labels are wrong" if data.noise.share else ""
    return f"{data.name}, rows {counts}; {spec.num_classes} classes, {spec.words}{wrong}"


def parameters(model: nn.Module) -> str:
    """`29,162 parameters`, and how many of them learn if not all do."""
    sizes = [(each.numel(), each.requires_grad) for each in model.parameters()]
    total, learn = sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)
    return f"{total:,} parameters" + (f", {learn:,} of them trained" if learn < total else "")


def resolved_probability(experiment: Experiment) -> float | None:
    """The probability that a strength resolves to; None before features have a size, or without."""
    for each in mixing_callbacks(experiment.trainer):
        if each.strength is not None:
            each.reach_in(experiment.data, experiment.trainer.world_size)
            return each.policy.probability if each.strength_is_set else None
    return None


def mixing_words(cfg: DictConfig, probability: float | None = None) -> str:
    """The method and its knobs that act; `probability` is what a strength resolves to."""
    if not cfg.get("mixing"):
        return "none"
    node: dict[str, Any] = plain(cfg.mixing)
    node = of_mixing(node)  # without what most runs do not use
    method, node["_target_"] = node.pop("method"), None
    if node.get("strength") is not None:
        node["probability"] = None if probability is None else f"{probability:.3g}"
    if node.get("alpha_schedule"):
        method = without_alpha(method)
    return f"{method_words(method)}; {class_and_knobs(node)}"


def without_alpha(node: dict[str, Any]) -> dict[str, Any]:
    """A method, or the method in it, less the alpha that a schedule replaces."""
    kept = {key: value for key, value in node.items() if key != "alpha"}
    inner = kept.get("method")
    return {**kept, "method": without_alpha(inner)} if isinstance(inner, dict) else kept


def method_words(node: dict[str, Any]) -> str:
    """`Sequence of CutMix alpha=1.0, then Mixup alpha=0.2`; one method as `class_and_knobs`."""
    methods = node.get("methods")
    if not isinstance(methods, list) or not all(isinstance(each, dict) for each in methods):
        return class_and_knobs(node)
    target = str(node.get("_target_")).rsplit(".", 1)[-1]
    between = ", then " if target == "Sequence" else ", or "
    rest = class_and_knobs({**node, "_target_": None, "methods": None})
    return " ".join(filter(None, [target, "of", between.join(map(method_words, methods)), rest]))


def strength_words(callbacks: Sequence[MixingCallback]) -> Iterator[str]:
    """`0.1 on average over the training: mixing.schedule=linear multiplies mixing.strength=0.2`."""
    for each in callbacks:
        schedule = each.policy.schedule
        if each.strength is not None and schedule != "constant":
            yield (
                f"{each.strength * mean_factor(schedule):.3g} on average over the training: "
                f"mixing.schedule={schedule} multiplies mixing.strength={each.strength:g}"
            )


def layer_words(experiment: Experiment) -> str:
    """`; in layers input, layer1`, where features are mixed; `; masks from layer layer3`."""
    found = mixing_callbacks(experiment.trainer)
    hidden = [each for each in found if isinstance(each, HiddenMixingCallback)]
    names = [name for each in hidden for name in chosen_layers(each.layers, experiment.model)]
    words = f"; in layers {', '.join(names)}" if names else ""
    learned = [each for each in found if isinstance(each, LearnedMixingCallback)]
    return words + "".join(
        f"; masks from layer {map_layer(experiment.model, each.layer)}" for each in learned
    )


def optimizer_words(cfg: DictConfig) -> str:
    """`SGD lr=0.2 momentum=0.9; lr is 0.1 for 256 rows, times 512 / 256`."""
    node = with_scaled_rate(cfg)
    if cfg.get("lr_base_size") is None:
        return class_and_knobs(node)
    base, rows = cfg.lr_base_size, rows_of_a_step(cfg)
    scaled = f"lr is {plain(cfg.optimizer)['lr']} for {base} rows, times {rows} / {base}"
    return f"{class_and_knobs(node)}; {scaled}"


def class_and_knobs(node: dict[str, Any]) -> str:
    """`Adam lr=0.002 weight_decay=0.0`; what is None is left out."""
    target = str(node.get("_target_") or "").rsplit(".", 1)[-1]
    knobs = [
        f"{key}={value}"
        for key, value in leaves(node)
        if value is not None and key.rsplit(".", 1)[-1] not in NOT_SHOWN
    ]
    return " ".join([*filter(None, [target]), *knobs])


def wandb_words(logger: WandbRun) -> str:
    mode, project = logger._wandb_init["mode"], logger._wandb_init["project"]
    if mode == "offline":
        return f"offline, project {project}; mixlab-sweep sync uploads it"
    return f"{mode}, project {project}"
