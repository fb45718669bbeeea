"""Tables: cells as people read them; Markdown and CSV that keep their shape whatever is in them."""

import csv
import io
import re
import shutil

import pytest
from rich.console import Console

from helpers.hostile_names import hostile_sweep
from helpers.written_runs import config, mixing, quickstart, write_arms, write_run
from mixlab.reporting import export, formatting, tables
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find


def compared(path, **question):
    return compare_runs(find([path]), Question(**question))


def printed(comparison, width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables.render(comparison), highlight=False)
    return console.export_text()


def test_a_row_for_each_arm_and_checkpoint(tmp_path):
    comparison = compared(quickstart(tmp_path))
    rows = tables.table_rows(comparison.blocks[0], comparison)
    assert [(row["arm"], row["at"]) for row in rows] == [
        ("none", "best"), ("", "last"), ("cutmix", "best"), ("", "last"), ("mixup", "best"),
        ("", "last"),
    ]  # fmt: skip
    mixup = comparison.blocks[0].arms[2].results["best"]
    change = [100 * x for x in (mixup.difference.mean, mixup.difference.low, mixup.difference.high)]
    assert rows[4]["difference"] == "{:+.2f} [{:+.2f}, {:+.2f}]".format(*change)
    assert rows[4]["mean"] == f"{100 * mixup.summary.mean:.2f} ± {100 * mixup.summary.sd:.2f}"
    assert (rows[4]["pairs"], rows[4]["runs"], rows[4]["cost"]) == ("5", "5", "1.1 s x1.00")
    assert rows[0]["verdict"] == "baseline" and "difference" not in rows[0]
    assert rows[0]["cost"] == "1.1 s", "no ratio to itself"


def test_losses_are_not_percentages(tmp_path):
    comparison = compared(quickstart(tmp_path), metric="test/loss")
    assert tables.columns(comparison.blocks[0], comparison)["difference"] == "difference [95 %]"
    assert re.fullmatch(
        r"0\.3\d{3} ± 0\.00\d\d", tables.table_rows(comparison.blocks[0], comparison)[0]["mean"]
    )


def test_missing_runs_are_seen_in_the_count(tmp_path):
    write_arms(tmp_path, {"none": (config(), 0.9)}, range(2))
    write_run(tmp_path, config(), 2, status="failed")
    comparison = compared(tmp_path)
    assert tables.table_rows(comparison.blocks[0], comparison)[0]["runs"] == "2/3"


def test_an_arm_alone_has_no_columns_of_a_comparison(tmp_path):
    write_run(tmp_path, config(), 0)
    comparison = compared(tmp_path)
    assert list(tables.columns(comparison.blocks[0], comparison)) == [
        "arm", "at", "runs", "mean", "cost",
    ]  # fmt: skip
    assert tables.sweep_summary(comparison) is None


def test_nothing_finished_is_a_table_all_the_same(tmp_path):
    write_run(tmp_path, config(), 0, status="running")
    comparison = compared(tmp_path)
    assert tables.table_rows(comparison.blocks[0], comparison) == [
        {"arm": "none", "at": "last", "runs": "0", "verdict": "no results"}
    ]
    assert "1 run: 1 running" in printed(comparison)
    assert "1 running" in export.markdown(comparison)


def test_terminal_shows_all_arms_notes_and_how_to_read(tmp_path):
    sweep = quickstart(tmp_path)
    write_run(tmp_path, config(mixing("Mixup", alpha=0.2)), 5, status="diverged")
    shutil.rmtree(next(tmp_path.glob("runs/*/*cutmix*/seed-4")))  # so only mixup has five pairs
    shown = printed(compared(tmp_path))
    for words in ("digits, cnn", "none", "mixup", "cutmix", "best", "last", "leans", "p (Holm)",
                  "mixup: 1 of 6 runs diverged (seed 5)", "cannot go below 0.0625",
                  "16 runs: 14 finished, 1 planned, 1 diverged"):  # fmt: skip
        assert words in " ".join(shown.split())
    assert "diverged" not in printed(compared(sweep))
    assert "\n- mixup: 1 of 6 runs diverged (seed 5)" in export.markdown(compared(tmp_path))


def test_terminal_takes_names_as_they_are(tmp_path):
    node = config(mixing("Mixup"), **{"data.name": "[bold]x[/nope]", "model.name": ":smile:"})
    write_run(tmp_path, node, 0)
    assert "[bold]x[/nope], :smile:" in printed(compared(tmp_path))
    shown = printed(compared(hostile_sweep(tmp_path / "h")))
    assert "\x1b" not in shown


def test_several_blocks_have_a_summary(tmp_path):
    for data in ("digits", "cifar10"):
        for seed in range(2):
            write_run(tmp_path, config(None, **{"data.name": data}), seed, accuracy=0.9)
            node = config(mixing("Mixup"), **{"data.name": data})
            write_run(tmp_path, node, seed, accuracy=0.91 + 0.01 * seed)
    summary = tables.sweep_summary(compared(tmp_path))
    assert summary is not None and summary.labels == ["none", "mixup"]
    assert summary.rows[0] == (
        "cifar10, cnn", {"none": ("90.00", ""), "mixup": ("+1.50 unclear", "unclear")},
    )  # fmt: skip
    assert "| cifar10, cnn | 90.00 | +1.50 unclear |" in export.markdown(compared(tmp_path))


def test_a_summary_is_shown_where_it_fits(tmp_path):
    for data in ("one", "two"):
        names = {"data.name": data}
        for number in range(8):
            arm = {f"mixup{number}": (config(mixing("Mixup", alpha=number + 1), **names), 0.9)}
            write_arms(tmp_path, arm, range(2))
    comparison = compared(tmp_path)
    assert "difference to it with the verdict." in printed(comparison, 300)
    narrow = printed(comparison, 60)
    assert "overview of 2 blocks and 8 arms is wider than" in " ".join(narrow.split())
    assert "difference to it with the verdict." not in " ".join(narrow.split())


def test_csv_is_the_numbers_themselves(tmp_path):
    comparison = compared(quickstart(tmp_path))
    rows = list(csv.DictReader(io.StringIO(export.csv_text(comparison))))
    assert len(rows) == 6 and set(rows[0]) == set(export.CSV_COLUMNS)
    mixup = comparison.blocks[0].arms[2]
    for checkpoint in ("best", "last"):
        (row,) = (r for r in rows if (r["arm"], r["checkpoint"]) == ("mixup", checkpoint))
        difference = mixup.results[checkpoint].difference
        for name, value in (("difference", difference.mean), ("low", difference.low),
                            ("p", difference.p), ("p_sign_flip", difference.p_sign_flip),
                            ("p_holm", mixup.results[checkpoint].p_holm)):  # fmt: skip
            assert float(row[name]) == pytest.approx(value, rel=1e-6)
    assert rows[0]["arm"] == "none" and rows[0]["p"] == ""


def test_markdown_and_csv_keep_their_shape(tmp_path):
    comparison = compared(hostile_sweep(tmp_path))
    found = export.markdown(comparison)
    assert "<script" not in found and "<img" not in found and "](javascript" not in found
    table = [line for line in found.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    rows = list(csv.reader(io.StringIO(export.csv_text(comparison))))
    assert {len(row) for row in rows} == {len(export.CSV_COLUMNS)} and len(rows) == 9


def test_a_spreadsheet_runs_nothing(tmp_path):
    write_run(tmp_path, config(None, **{"data.name": "=cmd|' /C calc'!A0"}), 0)
    (row, _) = csv.DictReader(io.StringIO(export.csv_text(compared(tmp_path))))
    assert row["block"].startswith("'=cmd")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0042, "0.0042 s"), (1.1, "1.1 s"), (119.0, "119 s"), (600.0, "10 min"),
     (9000.0, "2.5 h")],
)  # fmt: skip
def test_seconds(value, shown):
    assert formatting.seconds(value) == shown


@pytest.mark.parametrize(
    ("p", "pairs", "shown"),
    [(0.0004, 6, "<0.001"), (0.0312, 6, "0.031"), (0.0312, 5, "(0.031)"), (float("nan"), 1, "-")],
)
def test_p_is_evidence_from_six_pairs_on(p, pairs, shown):
    assert formatting.p_value(p, pairs) == shown


def test_a_difference_of_nothing_has_no_minus():
    assert formatting.unit("test/accuracy").change(-0.0) == "+0.00"


def test_the_end_of_a_long_label_is_there(tmp_path):
    arms = {
        str(probability): (config(mixing("Mixup", probability=probability)), 0.9)
        for probability in (0.25, 0.75)
    }
    write_arms(tmp_path, {"none": (config(), 0.9), **arms}, range(6), sd=0.001)
    shown = printed(compared(tmp_path), width=100)
    assert "p=0.25" in shown and "p=0.75" in shown


def mixed_column(tmp_path, strength, *shares):
    """The column of an unmixed arm and two that recorded a share; None where it is not shown."""
    extra = {"strength": strength} if strength else {}
    for seed in range(2):
        write_run(tmp_path, config(None), seed)
        for method, share in zip(("Mixup", "CutMix"), shares, strict=True):
            recorded = {} if share is None else {"mixed_share": share + 0.01 * seed}
            write_run(tmp_path, config({**mixing(method), **extra}), seed, **recorded)
    comparison = compared(tmp_path)
    block = comparison.blocks[0]
    if "mixed" not in tables.columns(block, comparison):
        assert "others replaced" not in printed(comparison, 200)
        return None
    assert "others replaced" in printed(comparison, 200)
    return {row["arm"]: row["mixed"] for row in tables.table_rows(block, comparison) if row["arm"]}


@pytest.mark.parametrize(
    ("strength", "shares", "shown"),
    [
        (0.2, (0.195, 0.195), ("0.20", "0.20")),
        (0.2, (0.195, None), ("0.20", "-")),
        (None, (0.245, 0.495), ("0.50", "0.25")),
        (None, (0.245, 0.246), None),
        (0.2, (None, None), None),
        (None, (None, None), None),
    ],
)
def test_how_much_was_mixed_is_shown_where_it_matters(tmp_path, strength, shares, shown):
    found = mixed_column(tmp_path, strength, *shares)
    if shown is None:
        assert found is None
    else:
        assert found is not None and found["none"] == "-"
        assert sorted(found.values()) == sorted(["-", *shown])
    rows = csv.DictReader(io.StringIO(export.csv_text(compared(tmp_path))))
    by_arm = {row["arm"].split()[0]: row["mixed_share"] for row in rows}
    wanted = "" if shares[0] is None else f"{shares[0] + 0.005:.8g}"
    assert by_arm["mixup"] == wanted and by_arm["none"] == ""
