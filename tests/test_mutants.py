"""Each mutant in mutants.toml still has its place in the source, and its tests."""

from pathlib import Path

import mutate

ROOT = Path(__file__).resolve().parents[1]


def test_each_mutant_has_one_place_and_changes_it() -> None:
    mutants = mutate.read_mutants()
    assert not mutate.misplaced(mutants)
    assert not [mutant["what"] for mutant in mutants if mutant["was"] == mutant["becomes"]]


def test_the_tests_of_each_mutant_are_there() -> None:
    files = {
        test.partition("::")[0] for mutant in mutate.read_mutants() for test in mutant["tests"]
    }
    assert not [file for file in files if not (ROOT / file).is_file()]


def test_a_mutant_without_a_place_is_named() -> None:
    lost = {"file": "scripts/mutate.py", "was": "no such" + " words", "becomes": "", "tests": []}
    (line,) = mutate.misplaced([lost])
    assert line == "scripts/mutate.py has 0 places like 'no such words', not 1"


def test_the_page_counts_the_mutants() -> None:
    """If not: python scripts/mutate.py --write-table."""
    mutants, page = mutate.read_mutants(), mutate.PAGE.read_text()
    assert mutate.with_table(page, mutants) == page
    assert f"| all | {len(mutants)} | |" in page
    fewer = mutate.with_table(page, mutants[1:])
    assert fewer != page and mutate.with_table(fewer, mutants) == page
    counts = [int(line.split(" | ")[1]) for line in mutate.table(mutants)]
    assert sum(counts[:-1]) == counts[-1] == len(mutants)


def test_the_page_counts_the_kinds_of_each_method() -> None:
    """Of every method that draws something of its own."""
    mutants = mutate.read_mutants()
    kinds = [mutant["kind"] for mutant in mutants if "kind" in mutant]
    assert {*kinds} == {*mutate.KINDS}
    rows = [line.strip("|\n ").split(" | ") for line in mutate.table_of_kinds(mutants)]
    counts = {row[0].strip("`"): [int(n) for n in row[1:] if n != "-"] for row in rows}
    assert sum(map(sum, counts.values())) == len(kinds)
    files = (ROOT / "src/mixlab/mixing/methods").glob("[!_]*.py")
    without = {file.name for file in files if f"methods/{file.name}" not in counts}
    assert without <= {"manifold_mixup.py", "method.py", "puzzlemix.py", "transmix.py"}
