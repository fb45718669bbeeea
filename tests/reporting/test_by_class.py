"""Classes that gain and lose: paired by seed, adjusted over the table, whatever is on disk."""

import numpy as np
import pytest
from scipy import stats

from helpers.hostile_names import hostile_sweep
from helpers.written_runs import config, mixing, quickstart, write_run
from mixlab.compare import main
from mixlab.reporting import by_class, export
from mixlab.reporting.comparison import compare_runs
from mixlab.runs.records import find

CLASSES = ["cat", "dog", "eel"]
ARMS = {"none": config(None), "mixup": config(mixing("Mixup")), "cutmix": config(mixing("CutMix"))}
GAINS = {"none": (0, 0, 0), "mixup": (0.1, 0, -0.1), "cutmix": (0, 0.02, 0)}


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
    changes = by_class.changes(write(tmp_path))
    assert [change.name for change in changes] == CLASSES * 2
    p_values = []
    for change in changes:
        arm = change.arm.split()[0]
        number = CLASSES.index(change.name)
        own, base = (
            np.array([accuracies(each, seed)[number] for seed in range(6)])
            for each in (arm, "none")
        )
        assert change.mean == pytest.approx(own.mean()) and change.baseline == pytest.approx(
            base.mean()
        )
        assert change.difference.mean == pytest.approx((own - base).mean())
        assert change.difference.p == pytest.approx(stats.ttest_rel(own, base).pvalue)
        p_values.append(change.difference.p)
    smallest = int(np.argmin(p_values))
    assert changes[smallest].p_holm == pytest.approx(6 * min(p_values))
    words = {(change.arm.split()[0], change.name): change.verdict for change in changes}
    assert words["mixup", "cat"] == "better" and words["mixup", "eel"] == "worse"
    assert words["mixup", "dog"] == "no evidence"


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
