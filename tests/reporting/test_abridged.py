"""A report of very many arms shows what a reader can use; figures, table and page have a limit."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.written_runs import config, mixing, write_arms
from mixlab.reporting import export, sentences, shared, tables
from mixlab.reporting import html as page
from mixlab.reporting.abridged import MOST_ARMS, MOST_NOTES, MOST_SECTIONS, WORST, abridged
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs import configs, records
from mixlab.runs.records import find

ARMS = 90
NODES = {"none": (config(None), 0.9)} | {
    f"m{n}": (config(mixing("Mixup", alpha=n / 100)), 0.85 + n / 1000) for n in range(1, ARMS)
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 arms at 2 seeds; the mean of an arm rises with its alpha, from below to above `none`."""
    folder = tmp_path_factory.mktemp("many")
    write_arms(folder, NODES, range(2), sd=2e-4, epochs=2)
    return folder


@pytest.fixture(scope="module")
def many(root: Path):
    return compare_runs(find([root]))


def test_the_best_and_the_worst_are_shown_and_the_baseline_first(many) -> None:
    [block] = abridged(many).blocks
    assert len(block.arms) == MOST_ARMS and len(block.every) == ARMS
    alphas = [arm.settings.get("mixing.method.alpha") for arm in block.arms]
    best = MOST_ARMS - WORST - 1
    assert alphas == [
        None,
        *((ARMS - 1 - n) / 100 for n in range(best)),
        *((WORST - n) / 100 for n in range(WORST)),
    ]
    assert block.baseline is block.arms[0]
    assert {id(arm) for arm in block.every} == {id(arm) for arm in many.blocks[0].arms}
    assert f"{best} arms with the best and {WORST} with the worst" in block.notes[0]
    assert "fresh seeds" in block.notes[0]


def test_where_lower_is_better_the_best_are_the_lowest(root: Path) -> None:
    [block] = abridged(compare_runs(find([root]), Question("test/loss"))).blocks
    means = [arm.results[block.headline].summary.mean for arm in block.arms[1:]]
    assert means == sorted(means) and block.arms[1].settings["mixing.method.alpha"] == 0.89


def test_p_is_adjusted_for_the_arms_that_are_not_shown_too(many) -> None:
    [shown], [every] = abridged(many).blocks, many.blocks
    own = {arm.label: arm.results["best"].p_holm for arm in every.arms}
    assert len({*map(str, own.values())}) > 9
    assert all(str(arm.results["best"].p_holm) == str(own[arm.label]) for arm in shown.arms)


@pytest.mark.slow
def test_the_csv_has_all_and_the_rest_has_what_is_shown(many, tmp_path: Path) -> None:
    files = export.report_files(many, ["mixlab-compare", "x"], tmp_path)
    assert files["report.csv"].decode().count("\n") == 1 + 2 * ARMS
    assert len(tables.table_rows(abridged(many).blocks[0], many)) == 2 * MOST_ARMS
    text = files["report.md"].decode()
    assert text.count("| last |") == MOST_ARMS and "report.csv" in text
    html = files["report.html"].decode()
    assert html.count('class="cell-arm"') == 2 * MOST_ARMS and "with the worst" in html
    assert f"{ARMS - 1 - sentences.MOST} more arms lower" in html
    assert html.count("seed-1</a>") == ARMS, "180 runs are few enough to list"


def test_what_all_arms_share_is_what_those_not_shown_share_too(many) -> None:
    [block] = abridged(many).blocks
    odd = replace(block.hidden[0], settings={**block.hidden[0].settings, "optimizer.lr": 0.7})
    assert "lr 0.001" in shared.shared(block)
    assert "lr" not in shared.shared(replace(block, hidden=(odd, *block.hidden[1:])))


def test_a_small_comparison_stays_as_it_is(many) -> None:
    small = replace(many, blocks=(replace(many.blocks[0], arms=many.blocks[0].arms[:MOST_ARMS]),))
    assert abridged(small) == small
    once = abridged(many)
    assert abridged(once) == once


def test_blocks_and_notes_have_a_limit_and_the_last_notes_stay(many) -> None:
    [block] = many.blocks
    short = replace(block, arms=block.arms[:2], notes=tuple(map(str, range(200))))
    found = abridged(replace(many, blocks=(short,) * (MOST_SECTIONS + 9)))
    assert len(found.blocks) == MOST_SECTIONS and f"of {MOST_SECTIONS + 9} blocks" in found.notes[0]
    notes = found.blocks[0].notes
    assert len(notes) == MOST_NOTES + 1 and (notes[0], notes[-1]) == ("0", "199")
    assert "160 more notes" in notes[MOST_NOTES // 2]
    compared = replace(
        many, blocks=tuple(replace(block, title=f"{n}", arms=block.arms[:50]) for n in range(12))
    )
    assert len(export.drawn_blocks(compared)) == export.MAX_ROWS // 50
    assert len(export.drawn_blocks(many)) == 1, "one block is drawn, whatever its size"


def test_of_very_many_runs_the_page_lists_those_that_did_not_finish(
    many, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_LISTED", 100)
    runs = (replace(many.runs[0], status="failed", problem="it broke"), *many.runs[1:])
    few = replace(many.blocks[0], arms=many.blocks[0].arms[:2], checkpoints=())
    html = page.render(replace(many, runs=runs, blocks=(few,)), ["mixlab-compare"])
    assert "it broke" in html and html.count('class="status finished"') == 0
    assert f"{2 * ARMS - 1} more are not listed" in html


def test_each_file_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """180 runs: a run.json and a config.yaml each, and a parsing for each arm."""
    read: list[Path] = []
    bytes_of, text_of = Path.read_bytes, Path.read_text
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or bytes_of(path))
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a, **k: read.append(path) or text_of(path, *a, **k)
    )
    configs.parsed.cache_clear()
    compare_runs(find([root]))
    assert (
        sorted(path.name for path in read) == ["config.yaml"] * 2 * ARMS + ["run.json"] * 2 * ARMS
    )
    assert len(set(read)) == len(read) and configs.parsed.cache_info().misses == ARMS


def test_status_reads_a_configuration_for_each_arm(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from mixlab.ledger.status import print_status

    read: list[Path] = []
    stored = records.stored_config
    monkeypatch.setattr(
        records, "stored_config", lambda folder: read.append(folder) or stored(folder)
    )
    print_status([str(root)])
    assert len(read) == ARMS and len({folder.parent for folder in read}) == ARMS
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "180 runs: 180 finished" and len(lines) == 2 + 2 * ARMS
    place = lines[0].index("state")
    assert {line[place : place + 8] for line in lines[1:-1]} == {"finished"}
