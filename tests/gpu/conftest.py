"""The fake GPU, and the table of what was pushed through it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.fake_gpu import FakeGpu, fake_gpu

TABLE = Path(__file__).parents[2] / "docs" / "gpu.md"
BEGIN, END = "<!-- the fake GPU's table begins -->", "<!-- and ends -->"
COLUMNS = ("kind", "what", "checked", "operations", "copies to the GPU", "waits for the GPU")
ROWS: dict[tuple[str, str], tuple[str, ...]] = {}

Covered = Callable[..., None]


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with fake_gpu() as fake:
        yield fake


@pytest.fixture
def covered() -> Covered:
    """`covered(kind, what, checked, operations, copies, waits)`: last, when all was asserted."""

    def record(kind: str, what: str, *cells: object) -> None:
        ROWS[kind, what] = tuple(str(cell) for cell in cells)

    return record


@pytest.fixture(scope="session", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --write-table, a green run of these tests writes the table of docs/gpu.md."""
    yield
    if request.config.getoption("--write-table") and not request.session.testsfailed:
        page = TABLE.read_text(encoding="utf-8")
        TABLE.write_text(with_coverage(page), encoding="utf-8")


def with_coverage(page: str) -> str:
    """`page` with the rows of this run between its two marks."""
    rows = [[*key, *cells] for key, cells in ROWS.items()]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    before, _, rest = page.partition(BEGIN)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"
