"""Break the source in many small ways, one at a time, and see whether the tests notice.

    python scripts/mutate.py                  # all of tests/mutants.toml; some 20 minutes
    python scripts/mutate.py reporting/       # those whose file has this in its path
    python scripts/mutate.py --write-table    # count them in docs/how-it-works.md, and run none

A mutant that no test notices is listed, and the exit status is 1, unless the file says why it may
survive. The tree itself is not touched: a copy of it is. A mutant that only slow tests or those
of faults notice names their marker: `markers = "slow"`. `kind`, of a mutant in what a method draws,
is its column in the second table.
"""

import io
import os
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "hydra.main", "hypothesis", "matplotlib.figure", "pytest", "pytorch_lightning", "scipy.stats",
    "statsmodels.stats.power", "timm", "torchvision.transforms.v2",
)  # fmt: skip
PAGE = ROOT / "docs" / "how-it-works.md"
HEAD = "| part | mutants | one of them |\n| --- | --- | --- |\n"
KINDS = ("sign", "axes", "clip", "own", "shift")
KINDS_HEAD = f"| file | {' | '.join(KINDS)} |\n| --- |{' --- |' * len(KINDS)}\n"
COPIED = (
    "src", "tests", "configs", "scripts", "docs", "benchmarks", "pyproject.toml", "README.md",
    "requirements.lock", "Dockerfile", ".dockerignore", "LICENSE",
)  # fmt: skip


def main(pattern: str = "") -> int:
    """Try each mutant; the exit status."""
    mutants = read_mutants()
    if pattern == "--write-table":
        PAGE.write_text(with_table(PAGE.read_text(), mutants))
        return 0
    if lines := misplaced(mutants):
        raise SystemExit("\n".join(lines))
    chosen = [mutant for mutant in mutants if pattern in mutant["file"]]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_to(tree)
        load_libraries()
        for words in sorted({tuple(words_for(mutant)) for mutant in chosen}):
            if tests_fail(tree, list(words), quiet=False):
                raise SystemExit(f"{' '.join(words)} fail before anything is changed")
        survivors = [mutant for mutant in chosen if not is_noticed(mutant, tree)]
    unexplained = [mutant for mutant in survivors if "survives" not in mutant]
    print(f"{len(chosen)} mutants, {len(chosen) - len(survivors)} noticed, {len(survivors)} not")
    for mutant in survivors:
        print(f"survived: {mutant['file']}: {mutant['what']}: {mutant.get('survives', '?')}")
    return 1 if unexplained else 0


def read_mutants() -> list[dict]:
    """All of tests/mutants.toml."""
    return tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"]


def misplaced(mutants: list[dict]) -> list[str]:
    """A line for each mutant whose text is not exactly once in its file."""
    texts = {file: (ROOT / file).read_text() for file in {mutant["file"] for mutant in mutants}}
    return [
        f"{mutant['file']} has {count} places like {mutant['was']!r}, not 1"
        for mutant in mutants
        if (count := texts[mutant["file"]].count(mutant["was"])) != 1
    ]


def with_table(page: str, mutants: list[dict]) -> str:
    """The text of the page with the counts of these mutants in its tables."""
    for head, rows in ((HEAD, table(mutants)), (KINDS_HEAD, table_of_kinds(mutants))):
        before, _, rest = page.partition(head)
        lines = rest.splitlines(keepends=True)
        after = next(number for number, line in enumerate(lines) if not line.startswith("|"))
        page = before + head + "".join(rows) + "".join(lines[after:])
    return page


def table(mutants: list[dict]) -> list[str]:
    """A line for each part of the code: how many mutants it has, and the first of them."""
    parts = defaultdict(list)
    for mutant in mutants:
        _, _, path = mutant["file"].partition("src/mixlab/")
        part = f"`{path.split('/')[0]}/`" if "/" in path else "the rest"
        parts[part].append(mutant["what"])
    last = parts.pop("the rest", [])
    found = [*sorted(parts.items(), key=lambda each: (-len(each[1]), each[0])), ("the rest", last)]
    lines = [f"| {part} | {len(whats)} | {whats[0]} |\n" for part, whats in found if whats]
    return [*lines, f"| all | {len(mutants)} | |\n"]


def table_of_kinds(mutants: list[dict]) -> list[str]:
    """A line for each file of methods, then of helpers: how many mutants it has of each kind."""
    counts = Counter(
        (mutant["file"].removeprefix("src/mixlab/").removeprefix("mixing/"), mutant["kind"])
        for mutant in mutants
        if "kind" in mutant
    )
    files = sorted({file for file, _ in counts}, key=lambda file: ("methods/" not in file, file))
    return [
        f"| `{file}` | {' | '.join(str(counts[file, kind] or '-') for kind in KINDS)} |\n"
        for file in files
    ]


def words_for(mutant: dict) -> list[str]:
    """What pytest is given to run a mutant's tests."""
    markers = mutant.get("markers")
    return [*(["-m", markers] if markers else []), *mutant["tests"]]


def copy_to(tree: Path) -> None:
    """The part of the checkout that tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tree / name, ignore=ignore)
        else:
            shutil.copy(source, tree / name)


def load_libraries() -> None:
    """Load here, once, what every test would load; a child has them by fork."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True  # a mutant of the same size and second would not be seen
    for name in LIBRARIES:
        import_module(name)


def is_noticed(mutant: dict, tree: Path) -> bool:
    """Whether a test fails on the mutant; prints a line."""
    path = tree / mutant["file"]
    whole = path.read_text()
    path.write_text(whole.replace(mutant["was"], mutant["becomes"]))
    began = time.monotonic()
    try:
        noticed = tests_fail(tree, words_for(mutant))
    finally:
        path.write_text(whole)
    word = "noticed " if noticed else "SURVIVED"
    seconds = time.monotonic() - began
    print(f"{word} {seconds:5.1f} s  {mutant['file']}: {mutant['what']}", flush=True)
    return noticed


def tests_fail(tree: Path, words: list[str], quiet: bool = True) -> bool:
    """Run the tests on the tree in a child of this process, up to the first failure."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(run_tests(tree, words, quiet))
        except BaseException:
            traceback.print_exc()
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def run_tests(tree: Path, words: list[str], quiet: bool) -> int:
    """pytest's exit status, in a process of its own."""
    import pytest

    os.chdir(tree)
    os.setsid()
    source = str(tree / "src")
    sys.path.insert(0, source)
    os.environ["PYTHONPATH"] = source
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = pytest.main(
            ["-xq", "--assert=plain", "-p", "no:cacheprovider", "--timeout=120", *words]
        )
    if code and not quiet:
        print(said.getvalue(), file=sys.__stdout__, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
