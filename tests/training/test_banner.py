"""What the start banner says of settings that make figures weak."""

from types import SimpleNamespace
from typing import Any

import pytest

from helpers.small_runs import composed
from mixlab.callbacks import MixingCallback
from mixlab.mixing import CutMix, Mixup
from mixlab.training.banner import (
    caution_words,
    mixing_words,
    resolved_probability,
    strength_words,
)

ALL = {"train": 100, "val": 50, "test": 40, "batch_size": 100, "eval_batch_size": 16, "limit": 1.0}


class Part:
    """So many rows of `data`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.data: Any = None

    def __len__(self) -> int:
        return self.rows


def cautions(**given: Any) -> str:
    to = {**ALL, **given}
    parts = SimpleNamespace(**{name: Part(to[name]) for name in ("train", "val", "test")})
    parts.train.data = SimpleNamespace(transform=to.get("transform"))
    parts.val.data = parts.train.data if to.get("held_out", True) else None
    sizes = {name: to[name] for name in ("batch_size", "eval_batch_size")}
    experiment: Any = SimpleNamespace(
        data=SimpleNamespace(
            parts=parts,
            path=to.get("path"),
            spec=SimpleNamespace(class_names=to.get("class_names", ())),
            **sizes,
        ),
        trainer=SimpleNamespace(limit_test_batches=to["limit"]),
    )
    return "; ".join(caution_words(experiment))


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"val": 0},
        {"limit": 3},
        {"limit": 7},
        {"test": 0},
        {"transform": 1, "val": 0},
        {"transform": 1, "held_out": False},
        {"path": "a.csv", "class_names": ("rose", "daisy", "tulip;rose")},
        {"path": "a.csv", "class_names": ("tench, Tinca tinca", "goldfish, Carassius auratus")},
        {"path": "folder", "class_names": ("daisy;rose", "tulip;rose")},
    ],
)
def test_nothing_is_said_without_a_reason(fine: dict[str, Any]) -> None:
    assert cautions(**fine) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"val": 1}, "1 validation row can hardly tell epochs apart"),
        ({"val": 49}, "49 validation rows can hardly tell epochs apart"),
        ({"batch_size": 101}, "an epoch is one step: data.batch_size=101 and 100 training rows"),
        (
            {"transform": 1},
            "validation rows pass through the transform of the training data; set data.source.val",
        ),
        (
            {"path": "a.csv", "class_names": ("rose", "tulip|rose")},
            "labels as 'tulip|rose' count as one class; if images may have several labels, set "
            "'data.label_separator=\"|\"'",
        ),
        ({"limit": 2}, "trainer.limit_test_batches=2 tests only a part of the 40 test rows"),
        ({"limit": 1}, "trainer.limit_test_batches=1 tests only a part of the 40 test rows"),
        ({"limit": 0.5}, "trainer.limit_test_batches=0.5 tests only a part of the 40 test rows"),
    ],
)
def test_what_makes_figures_weak(given: dict[str, Any], said: str) -> None:
    assert cautions(**given) == said


def test_what_is_none_is_left_out_of_the_mixing() -> None:
    words = mixing_words(composed("mixing=manifold_mixup"))
    assert words.startswith("ManifoldMixup alpha=2.0 per_row=True; probability=1.0 gate=row ")
    assert "None" not in words
    assert "layers=['last']" in mixing_words(
        composed("mixing=manifold_mixup", "mixing.layers=[last]")
    )


def test_methods_of_a_method_are_said_one_by_one() -> None:
    words = mixing_words(composed("mixing=sequence"))
    assert words.startswith("Sequence of CutMix alpha=1.0 per_row=True, then Mixup alpha=0.2 ")
    assert ", or CutMix alpha=1.0" in mixing_words(composed("mixing=one_of"))
    assert "_target_" not in words and "{" not in words


@pytest.mark.parametrize(
    ("schedule", "mean"), [("linear", "0.1"), ("cosine", "0.1"), ({"off_after": 0.75}, "0.15")]
)
def test_the_mean_strength_under_a_schedule_is_said(schedule: Any, mean: str) -> None:
    mixing = MixingCallback(CutMix(1.0), strength=0.2, schedule=schedule)
    wanted = f"{mean} on average over the training: mixing.schedule={schedule} multiplies "
    assert [*strength_words([mixing])] == [wanted + "mixing.strength=0.2"]


def test_a_strength_or_a_schedule_alone_needs_no_words() -> None:
    alone = [
        MixingCallback(CutMix(1.0), strength=0.2),
        MixingCallback(CutMix(1.0), schedule="linear"),
    ]
    assert not [*strength_words(alone)]


def test_a_strength_is_shown_with_the_probability_that_it_needs() -> None:
    data = SimpleNamespace(batch_size=64, spec=SimpleNamespace(shape=(1, 16, 16)))
    mixing = MixingCallback(Mixup(0.2), strength=0.2, partners="reverse")
    trainer = SimpleNamespace(callbacks=[mixing], world_size=1)
    experiment: Any = SimpleNamespace(data=data, trainer=trainer)
    probability = resolved_probability(experiment)
    assert probability == mixing.policy.probability == pytest.approx(0.4)
    cfg = composed("mixing=mixup", "mixing.strength=0.2", "mixing.schedule=cosine")
    assert "; probability=0.4 gate=row schedule=cosine" in mixing_words(cfg, probability)
    trainer.callbacks = [MixingCallback(Mixup(0.2))]
    assert resolved_probability(experiment) is None


@pytest.mark.parametrize("method", ["mixup", "mixup_both_classes"])
def test_an_alpha_that_a_schedule_replaces_is_not_shown(method: str) -> None:
    scheduled = composed(f"mixing={method}", "mixing.alpha_schedule={linear:[0.1,1.0]}")
    words = mixing_words(scheduled)
    assert "alpha=" not in words and "alpha_schedule.linear=[0.1, 1.0]" in words
    assert "alpha=0.2" in mixing_words(composed(f"mixing={method}"))
