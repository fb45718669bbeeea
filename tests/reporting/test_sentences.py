"""The sentence of a block says who is above whom, by how much, and whether that is a claim."""

import html
import io
import re

import pytest
from rich.console import Console

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting import export, sentences, tables
from mixlab.reporting import html as page
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

NODES = {"none": config(), "cutmix": config(mixing("CutMix")), "mixup": config(mixing("Mixup"))}


def compared(root, gains, seeds=5, spread=0.001, **question):
    """Runs in which an arm's difference to `none` is its gain, and alternates by `spread`."""
    for seed in range(seeds):
        for arm, gain in {"none": 0.0, **gains}.items():
            own = (-1) ** seed * spread * (gain != 0)
            write_run(root, NODES[arm], seed, accuracy=0.8 + 0.01 * seed + gain + own)
    return compare_runs(find([root]), Question(**question))


@pytest.mark.parametrize(
    ("gains", "seeds", "expected"),
    [
        ({"mixup": -0.006, "cutmix": 0.046}, 4,
         "cutmix is 4.6 points above none, mixup 0.6 below (n = 4, too few to claim)."),
        ({"cutmix": 0.046}, 6, "cutmix is 4.6 points above none (n = 6, p < 0.001)."),
        ({"mixup": 0.0002}, 6,
         "mixup is 0.02 points above none (n = 6, no evidence of a difference)."),
        ({"cutmix": -0.03, "mixup": 0}, 2,
         "mixup is level with none, cutmix 3.0 below (n = 2, too few to claim)."),
        ({"cutmix": 0.05}, 1, "cutmix is 4.9 points above none (n = 1, too few to claim)."),
    ],
)  # fmt: skip
def test_the_sentence_of_a_block(tmp_path, gains, seeds, expected):
    spread = -0.001 if seeds == 1 else 0.001
    comparison = compared(tmp_path, gains, seeds, spread)
    assert sentences.answer(comparison.blocks[0], comparison) == f"digits, cnn: {expected}"


def test_a_loss_has_no_points(tmp_path):
    comparison = compared(tmp_path, {"cutmix": 0.05}, 2, metric="test/loss")
    expected = "digits, cnn: cutmix is 0.0500 below none (n = 2, too few to claim)."
    assert sentences.answer(comparison.blocks[0], comparison) == expected


def test_arms_without_pairs_are_counted(tmp_path):
    compared(tmp_path, {"cutmix": 0.05}, 2)
    write_run(tmp_path, NODES["mixup"], 9)
    comparison = compare_runs(find([tmp_path]))
    assert sentences.answer(comparison.blocks[0], comparison).endswith(
        "(n = 2, too few to claim), 1 arm without a seed in common with none."
    )


def test_nothing_compared_is_no_sentence(tmp_path):
    comparison = compared(tmp_path, {})
    assert sentences.answer(comparison.blocks[0], comparison) == ""


def test_it_leads_every_form_of_the_report(tmp_path):
    comparison = compared(tmp_path, {"cutmix": 0.046}, 2)
    sentence = sentences.answer(comparison.blocks[0], comparison)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(tables.render(comparison))
    words = re.sub("<[^>]+>", " ", page.render(comparison, ["mixlab-compare"]))
    for text, table in (
        (console.export_text(), "verdict"), (export.markdown(comparison), "| arm"),
        (html.unescape(words), "How to read"),
    ):  # fmt: skip
        assert 0 <= text.index(sentence) < text.index(table)


def forms(comparison):
    """The report in a terminal, as Markdown and as a page, each as plain words."""
    console = Console(width=200, file=io.StringIO())
    console.print(tables.render(comparison))
    shown = html.unescape(page.render(comparison, ["mixlab-compare"]))
    every = (console.file.getvalue(), export.markdown(comparison), shown)
    return [re.sub(r"[\s\\]+", " ", text) for text in every]


def test_every_form_says_that_intervals_are_not_adjusted(tmp_path):
    words = "The intervals are not adjusted for the number of arms"
    assert all(words in form for form in forms(compared(tmp_path, {"cutmix": 0.01})))


def test_every_form_says_how_to_measure_time(tmp_path):
    words = "slow each other down. To measure time, train them one after another"
    assert all(words in form for form in forms(compared(tmp_path, {"cutmix": 0.01})))


def test_few_pairs_and_power_are_explained_in_plain_words(tmp_path):
    *every, shown = forms(compared(tmp_path, {"cutmix": 0.01}, 3))
    words = "a verdict is never more than 'leans better' or 'leans worse'"
    assert all(words in form for form in (*every, shown))
    assert "is found with a probability of 80" in shown and "gray lines join" in shown


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({"cutmix": 0.02, "mixup": 0.01},
         "cutmix is 2.0 points above none, mixup 1.0 above (n = 2, all at chance)."),
        ({"cutmix": 0.02}, "cutmix is 2.0 points above none (n = 2, at chance)."),
        ({"cutmix": 0.5, "mixup": 0.01, "fmix": -0.01},
         "cutmix is 50.0 points above none (n = 2, too few to claim), mixup 1.0 above, "
         "fmix 1.0 below (n = 2, these 2 at chance)."),
    ],
)  # fmt: skip
def test_all_arms_at_chance_are_said_to_be(tmp_path, gains, expected):
    guess = {"data": {"test_rows": 100}, "class_accuracy": {"classes": list("abcdefghij")}}
    for arm, gain in {"none": 0.0, **gains}.items():
        node = config(mixing("FMix")) if arm == "fmix" else NODES[arm]
        for seed in range(2):
            write_run(tmp_path, node, seed, accuracy=0.1 + gain, **guess)
    comparison = compare_runs(find([tmp_path]))
    assert sentences.answer(comparison.blocks[0], comparison) == f"digits, cnn: {expected}"
