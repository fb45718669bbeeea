"""Folders with known results in, table, CSV and page out: against scipy and statsmodels."""

import csv
import io
import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from helpers.written_runs import config, mixing, write_run, write_sweep
from mixlab.reporting import export, html, tables
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

SEEDS = range(11, 19)
ARMS = {
    "none": config(None),
    "cutmix": config(mixing("CutMix")),
    "mixup": config(mixing("Mixup", alpha=0.2)),
    "mixup-both": config(mixing("Mixup", alpha=0.8)),
}
MISSING = ("mixup", 13)  # this run was never made, so its pair is missing
MARGIN = 0.02


@pytest.fixture(scope="module")
def known():
    """Accuracy by arm and seed; the last arm differs from none by next to nothing."""
    rng = np.random.default_rng(4)
    base = {seed: 0.8 + 0.02 * rng.normal() for seed in SEEDS}
    shifts = {"none": 0.0, "cutmix": 0.016, "mixup": -0.012, "mixup-both": 0.001}
    return {
        arm: {
            seed: round(base[seed] + shift + 0.006 * rng.normal() * (arm != "none"), 4)
            for seed in SEEDS
            if (arm, seed) != MISSING
        }
        for arm, shift in shifts.items()
    }


@pytest.fixture(scope="module")
def compared(known, tmp_path_factory):
    """The same as run folders, listed in an order in which no position is a seed."""
    root = tmp_path_factory.mktemp("known")
    folders = []
    for arm, values in known.items():
        seeds = list(values)[::-1] if arm == "cutmix" else list(values)
        for seed in seeds:
            classes = {"classes": ["a", "b"], "best": [values[seed], 1 - seed / 40]}
            folder = write_run(root, ARMS[arm], seed, accuracy=values[seed], class_accuracy=classes)
            folders.append(folder)
    sweep = write_sweep(root, "known", sorted(folders, key=lambda path: hash(path.parts[-1]) % 7))
    return compare_runs(find([sweep]), Question(margin=MARGIN))


@pytest.fixture(scope="module")
def expected(known):
    """By arm: what scipy and statsmodels say of the pairs that share a seed."""
    found = {}
    for arm in ("cutmix", "mixup", "mixup-both"):
        seeds = [seed for seed in known[arm] if seed in known["none"]]
        x, y = (np.array([known[name][seed] for seed in seeds]) for name in (arm, "none"))
        test = stats.ttest_rel(x, y)
        flips = np.array(list(itertools.product((1, -1), repeat=len(seeds)))) @ (x - y)
        found[arm] = {
            "runs": len(x), "mean": x.mean(), "sd": x.std(ddof=1), "pairs": len(seeds),
            "difference": (x - y).mean(), "low": test.confidence_interval(0.95).low,
            "high": test.confidence_interval(0.95).high, "p": test.pvalue,
            "p_sign_flip": np.mean(np.abs(flips) >= abs((x - y).sum()) - 1e-12),
            "correlation": stats.pearsonr(x, y).statistic,
            "equivalent": ttost_paired(x, y, -MARGIN, MARGIN)[0] < 0.05,
        }  # fmt: skip
    adjusted = multipletests([row["p"] for row in found.values()], method="holm")[1]
    for row, p in zip(found.values(), adjusted, strict=True):
        row["p_holm"] = p
    return found


def by_arm(compared):
    """Rows of the CSV at the checkpoint chosen on validation, by a short name of the arm."""
    rows = csv.DictReader(io.StringIO(export.csv_text(compared)))
    names = {arm.label: name_of(arm) for block in compared.blocks for arm in block.arms}
    return {names[row["arm"]]: row for row in rows if row["checkpoint"] == "best"}


def name_of(arm):
    settings = arm.settings
    method = str(settings.get("mixing.method._target_", "none")).rsplit(".", 1)[-1].lower()
    return "mixup-both" if settings.get("mixing.method.alpha") == 0.8 else method


def test_the_csv_has_the_figures_of_scipy(compared, expected):
    rows = by_arm(compared)
    assert set(rows) == {"none", *expected}
    for arm, row in expected.items():
        for key in set(row) - {"equivalent"}:
            assert float(rows[arm][key]) == pytest.approx(row[key], rel=1e-6, abs=1e-9), (arm, key)
    assert [rows[arm]["pairs"] for arm in ("cutmix", "mixup")] == ["8", "7"]


def test_the_verdicts_follow_from_them(compared, expected):
    rows = by_arm(compared)
    for arm, row in expected.items():
        if row["p_holm"] < 0.05:
            word = "better" if row["difference"] > 0 else "worse"
        else:
            word = "equivalent" if row["equivalent"] else "no evidence"
        assert rows[arm]["verdict"] == word
    assert {row["verdict"] for row in rows.values()} == {
        "baseline",
        "better",
        "worse",
        "equivalent",
    }


def test_the_table_and_the_page_show_the_same(compared, expected):
    block = compared.blocks[0]
    shown = {name_of(arm): row for arm, row in zip(block.arms, best_rows(compared), strict=True)}
    page = html.render(compared, ["mixlab-compare"])
    for arm, row in expected.items():
        change = [100 * row[key] for key in ("difference", "low", "high")]
        p = row["p_holm"]
        cells = {
            "mean": f"{100 * row['mean']:.2f} \u00b1 {100 * row['sd']:.2f}",
            "difference": "{:+.2f} [{:+.2f}, {:+.2f}]".format(*change),
            "p": "<0.001" if p < 0.001 else f"{p:.3f}",
            "r": f"{row['correlation']:+.2f}",
        }
        for key, cell in cells.items():
            assert shown[arm][key] == cell, (arm, key)
            assert cell.replace("<", "&lt;") in page
    assert page.index(shown["cutmix"]["difference"]) > 0


def best_rows(compared):
    rows = tables.table_rows(compared.blocks[0], compared)
    return [row for row in rows if row["at"] == "best"]


def test_guessing_is_no_result(tmp_path):
    names = [str(n) for n in range(10)]
    for seed in range(6):
        for node, accuracy in ((config(None), 0.1), (config(mixing("CutMix")), 0.1 + 0.001 * seed)):
            write_run(tmp_path, node, seed, accuracy=accuracy, class_accuracy={"classes": names})
    found = compare_runs(find([tmp_path]), Question())
    assert [arm.results["best"].verdict for arm in found.blocks[0].arms] == [
        "baseline",
        "at chance",
    ]
