"""Classes that gain and lose: paired by seed, adjusted over the table, whatever is on disk."""

import itertools
import shutil

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from helpers.hostile_names import hostile_sweep
from helpers.written_runs import config, mixing, quickstart, write_run
from mixlab.compare import main
from mixlab.reporting import by_class, export
from mixlab.reporting.comparison import compare_runs
from mixlab.runs.records import find

CLASSES = ["cat", "dog", "eel"]
ARMS = {"none": config(None), "mixup": config(mixing("Mixup")), "cutmix": config(mixing("CutMix"))}
GAINS = {"none": (0, 0, 0), "mixup": (0.1, 0, -0.1), "cutmix": (0.015, 0.02, 0.005)}


def accuracies(arm: str, seed: int) -> list[float]:
    noise = np.random.default_rng([seed, list(ARMS).index(arm)]).normal(0, 0.01, 3)
    return (0.7 + np.array(GAINS[arm]) + noise).tolist()


def write(root, seeds=range(6), **odd):
    for seed in seeds:
        for arm, node in ARMS.items():
            record = {"classes": CLASSES, "best": accuracies(arm, seed), "last": [0.5] * 3}
            write_run(root, node, seed, class_accuracy=odd.get(arm, record))
    return compare_runs(find([root])).blocks[0]


def test_differences_are_paired_by_seed_and_adjusted_over_the_table(tmp_path):
    """Against scipy and statsmodels; mixup lacks seed 2, and cutmix saw other data at seed 4."""
    write(tmp_path, range(9))
    shutil.rmtree(next(tmp_path.glob("runs/*/*mixup*/seed-2")))
    odd = next(tmp_path.glob("runs/*/*cutmix*/seed-4")) / "run.json"
    odd.write_text(odd.read_text().replace("d1" * 32, "ff" * 32))
    left_out = {"mixup": 2, "cutmix": 4}
    expected = []
    for arm, name in itertools.product(("cutmix", "mixup"), CLASSES):
        seeds, number = [n for n in range(9) if n != left_out[arm]], CLASSES.index(name)
        own, base = ([accuracies(each, n)[number] for n in seeds] for each in (arm, "none"))
        test = stats.ttest_rel(own, base)
        change = (np.mean(np.subtract(own, base)), *test.confidence_interval(0.95))
        expected.append((name, np.mean(base), np.mean(own), change, test.pvalue))
    raw = [p for *_, p in expected]
    adjusted = multipletests(raw, method="holm")[1]
    assert any(before < 0.05 < after for before, after in zip(raw, adjusted, strict=True))
    rows = by_class.class_rows(compare_runs(find([tmp_path])).blocks[0])
    assert [row["arm"] for row in rows] == ["cutmix", "", "", "mixup", "", ""]
    for row, (name, base, own, change, _), p in zip(rows, expected, adjusted, strict=True):
        assert {key: row[key] for key in row if key != "arm"} == {
            "class": name,
            "baseline": f"{100 * base:.2f}",
            "mean": f"{100 * own:.2f}",
            "difference": "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * x for x in change)),
            "pairs": "8",
            "p": "<0.001" if p < 0.001 else f"{p:.3f}",
            "verdict": "no evidence" if p >= 0.05 else "better" if change[0] > 0 else "worse",
        }


def test_seeds_without_a_partner_and_classes_without_rows_are_left_out(tmp_path):
    without = {"classes": CLASSES, "best": [0.5, None, 0.5], "last": [0.5] * 3}
    write(tmp_path, range(3), mixup=without)
    write_run(tmp_path, ARMS["mixup"], 7, class_accuracy=without)
    changes = by_class.changes(compare_runs(find([tmp_path])).blocks[0])
    names = [change.name for change in changes if change.arm.startswith("mixup")]
    assert names == ["cat", "eel"] and {change.difference.n for change in changes} == {3}


def test_the_command_prints_a_second_table(tmp_path, capsys):
    write(tmp_path)
    main([str(tmp_path), "--per-class"])
    shown = capsys.readouterr().out
    assert "class by class, best" in shown and shown.count(" eel ") == 2
    main([str(tmp_path), "--per-class", "--format", "markdown"])
    table = capsys.readouterr().out.split("class by class (best)")[1]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 6 and len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize("form", ["csv", "html"])
def test_other_formats_are_refused_in_a_sentence(tmp_path, capsys, form):
    write(tmp_path, range(1))
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--per-class", "--format", form])
    assert (
        end.value.code == 2 and "--per-class prints a table or markdown" in capsys.readouterr().err
    )


def test_runs_that_recorded_no_classes_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(quickstart(tmp_path)), "--per-class"])
    assert end.value.code == 2 and "existing=replace" in capsys.readouterr().err


@pytest.mark.parametrize(
    "odd", [3, [], {"classes": 3}, {"classes": CLASSES, "best": [1]}, {"best": [0.5] * 3}]
)
def test_odd_records_do_not_count(tmp_path, odd):
    changes = by_class.changes(write(tmp_path, range(2), mixup=odd))
    assert {change.arm.split()[0] for change in changes} == {"cutmix"}


def test_names_cannot_break_the_table(tmp_path):
    names = ["a|b", "<b>x</b>", "two\nlines"]
    for seed in range(2):
        for node in ARMS.values():
            record = {"classes": names, "best": [0.5] * 3}
            write_run(tmp_path, node, seed, class_accuracy=record)
    table = export.markdown_classes(compare_runs(find([tmp_path])))
    assert "a\\|b" in table and "<b>" not in table and "two lines" in table


def test_hostile_runs(tmp_path):
    comparison = compare_runs(find([hostile_sweep(tmp_path)]))
    with pytest.raises(ValueError, match="no seed has its accuracy recorded"):
        for block in comparison.blocks:
            by_class.class_rows(block)
