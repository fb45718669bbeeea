"""Folders with known results in, table, CSV and page out: against scipy and statsmodels."""

import csv
import html
import io
import itertools
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from helpers.written_runs import config, mixing, write_run, write_sweep
from mixlab.reporting import export, tables
from mixlab.reporting import html as page
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

SEEDS = range(11, 19)
BASE = "none"
METHODS = {"cutmix": "CutMix", "cutout": "Cutout", "mixup": "Mixup", "smoothmix": "SmoothMix"}
NODES = {BASE: config(None)} | {arm: config(mixing(name)) for arm, name in METHODS.items()}
MARGIN = 0.02
# Student's t and the standard error of each arm's differences: clearly better, clearly worse, two
# whose p is below 5 % until it is adjusted, of which one is within the margin, though barely.
SHIFTS = {"cutmix": (8, 0.003), "cutout": (-8, 0.003), "mixup": (-2.8, 0.00526),
          "smoothmix": (2.5, 0.00434)}  # fmt: skip
VERDICTS = {
    "cutmix": "better",
    "cutout": "worse",
    "mixup": "no evidence",
    "smoothmix": "equivalent",
}
MISSING, FAILED = ("mixup", 13), ("cutout", 15)  # a run that was never made, and one without result
COSTS = {arm: 1.0 + 0.25 * place for place, arm in enumerate(NODES)}


def seeds_of(arm):
    return [seed for seed in SEEDS if (arm, seed) not in (MISSING, FAILED)]


def known_at(checkpoint):
    """Accuracy by arm and seed; at the last epoch the differences are other ones."""
    rng = np.random.default_rng(4 if checkpoint == "best" else 5)
    base = dict(zip(SEEDS, rng.normal(0.8, 0.02, len(SEEDS)), strict=True))
    found = {BASE: base}
    for arm, (t, error) in SHIFTS.items():
        seeds = seeds_of(arm)
        if checkpoint == "last":
            t, error = 0.7 * t, 1.5 * error
        noise = stats.zscore(rng.normal(size=len(seeds)), ddof=1)
        deltas = error * (t + len(seeds) ** 0.5 * noise)
        found[arm] = {seed: base[seed] + delta for seed, delta in zip(seeds, deltas, strict=True)}
    return found


KNOWN = {checkpoint: known_at(checkpoint) for checkpoint in ("best", "last")}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The same as run folders, listed in an order in which no position is a seed."""
    root = tmp_path_factory.mktemp("known")
    folders = []
    for arm, seed in itertools.product(NODES, SEEDS):
        results = {
            checkpoint: {"epoch": epoch, "test/accuracy": KNOWN[checkpoint][arm].get(seed)}
            for checkpoint, epoch in (("best", 7), ("last", 9))
        }
        if (arm, seed) == FAILED:
            results = None
        if (arm, seed) != MISSING:
            status = "finished" if results else "failed"
            folders.append(
                write_run(root, NODES[arm], seed, status=status, results=results,
                          seconds_per_epoch=COSTS[arm])
            )  # fmt: skip
    np.random.default_rng(0).shuffle(folders)
    return compare_runs(find([write_sweep(root, "known", folders)]), Question(margin=MARGIN))


@pytest.fixture(scope="module")
def expected():
    """By checkpoint and arm: what scipy and statsmodels say of the pairs that share a seed."""
    found = {}
    for checkpoint, known in KNOWN.items():
        rows = {arm: row_of(known, arm) for arm in METHODS}
        adjusted = multipletests([row["p"] for row in rows.values()], method="holm")[1]
        found |= {
            (checkpoint, arm): row | {"p_holm": p}
            for (arm, row), p in zip(rows.items(), adjusted, strict=True)
        }
    return found


def row_of(known, arm):
    x, y = (np.array([known[name][seed] for seed in seeds_of(arm)]) for name in (arm, BASE))
    test, n = stats.ttest_rel(x, y), len(x)
    flips = np.array(list(itertools.product((1, -1), repeat=n))) @ (x - y)
    power = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    return {
        "runs_found": 8 - (arm == MISSING[0]), "runs": n, "pairs": n,
        "mean": x.mean(), "sd": x.std(ddof=1), "difference": (x - y).mean(),
        "low": test.confidence_interval(0.95).low, "high": test.confidence_interval(0.95).high,
        "p": test.pvalue, "p_sign_flip": np.mean(np.abs(flips) >= abs((x - y).sum()) - 1e-12),
        "correlation": stats.pearsonr(x, y).statistic,
        "detectable": power * (x - y).std(ddof=1),
        "seconds_per_epoch": COSTS[arm], "cost_ratio": COSTS[arm] / COSTS[BASE],
    }  # fmt: skip


def cells_of(row):
    """The cells of the tables, as people read them."""
    change = "{:+.2f} [{:+.2f}, {:+.2f}]".format(
        *(100 * row[k] for k in ("difference", "low", "high"))
    )
    n, found, p = row["runs"], row["runs_found"], row["p_holm"]
    return {
        "runs": str(n) if n == found else f"{n}/{found}",
        "mean": f"{100 * row['mean']:.2f} ± {100 * row['sd']:.2f}",
        "difference": change,
        "pairs": str(row["pairs"]),
        "p": "<0.001" if p < 0.001 else f"{p:.3f}",
        "r": f"{row['correlation']:+.2f}",
    }


def test_the_data_tell_every_mistake_apart(expected):
    """Each arm has its verdict for one reason, which a raw p or another level would undo."""
    for arm, (low, high) in {"smoothmix": (0.025, 0.05), "mixup": (0.05, 1)}.items():
        assert expected["best", arm]["p"] < 0.05 < expected["best", arm]["p_holm"]
        seeds, known = seeds_of(arm), KNOWN["best"]
        x, y = (np.array([known[name][seed] for seed in seeds]) for name in (arm, BASE))
        assert low < ttost_paired(x, y, -MARGIN, MARGIN)[0] < high


def test_the_csv_has_the_figures_of_scipy(compared, expected):
    rows = csv.DictReader(io.StringIO(export.csv_text(compared)))
    found = {(row["checkpoint"], row["arm"]): row for row in rows}
    for place, row in expected.items():
        for key, value in row.items():
            assert float(found[place][key]) == pytest.approx(value, rel=1e-6, abs=1e-9), (
                place,
                key,
            )
    assert {key for row in expected.values() for key in row} | {
        "block", "arm", "hash", "baseline", "checkpoint", "metric", "verdict",
        "mixed_share",
    } == set(export.CSV_COLUMNS)  # fmt: skip
    verdicts = {arm: row["verdict"] for (at, arm), row in found.items() if at == "best"}
    assert verdicts == {BASE: "baseline", **VERDICTS}


def test_the_tables_show_the_same(compared, expected):
    (block,) = compared.blocks
    rows = tables.table_rows(block, compared)
    shown = {(row["at"], rows[i - i % 2]["arm"]): row for i, row in enumerate(rows)}
    text = html.unescape(export.markdown(compared))
    for place, row in expected.items():
        cells = cells_of(row)
        assert {key: shown[place][key] for key in cells} == cells, place
        line = [place[0], *cells.values(), shown[place]["verdict"]]
        assert f"| {' | '.join(line)} |" in text


def test_the_page_shows_the_same(compared, expected):
    words = html.unescape(re.sub(r"<[^>]+>", " ", page.render(compared, ["mixlab-compare"])))
    words = re.sub(r"\s+", " ", words)
    for (checkpoint, arm), row in expected.items():
        cells = cells_of(row)
        assert " ".join(cells[key] for key in ("mean", "difference", "pairs", "p", "r")) in words
        if checkpoint == "best":
            p = f"p = {cells['p']}".replace("= <", "< ")
            lost = "; 1 of 8 runs failed or diverged" if arm == FAILED[0] else ""
            sentence = f"{cells['difference']} pp against none, {cells['pairs']} pairs, {p}{lost}"
            assert f"{arm} {cells['mean']} % {VERDICTS[arm]} {sentence}" in words
    found = [100 * row["detectable"] for (at, _), row in expected.items() if at == "best"]
    assert f"difference of {min(found):.2f} to {max(found):.2f} pp is found" in words
    for seed in SEEDS:
        best, last = (100 * KNOWN[checkpoint][BASE][seed] for checkpoint in ("best", "last"))
        assert f" {seed} finished {best:.2f} 8 {last:.2f} 10 " in words


@pytest.mark.parametrize(
    ("base", "shift", "word"),
    [(0.1, 0.001, "at chance"), (0.5, 0.001, "better"), (0.1, 0.1, "better")],
)
def test_guessing_is_no_result(tmp_path, base, shift, word):
    """Ten classes and 360 test rows: 14.7 % is within what guessing gives."""
    names = [str(n) for n in range(10)]
    for seed, (node, gain) in itertools.product(range(6), ((config(None), 0), (NODES["mixup"], 1))):
        accuracy = base + gain * (shift + 1e-4 * seed)
        write_run(tmp_path, node, seed, accuracy=accuracy, class_accuracy={"classes": names})
    found = compare_runs(find([tmp_path]))
    assert [arm.results["best"].verdict for arm in found.blocks[0].arms] == ["baseline", word]
