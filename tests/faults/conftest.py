"""Faults: each test makes one happen, proves that it did, and leaves a row for the table."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- the fault suite's table begins -->", "<!-- and ends -->"
ROWS: dict[str, tuple[int, str]] = {}

Injected = Callable[[str, int, str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def injected() -> Injected:
    """`injected(fault, times, result)`: call it last, when all that `result` says was asserted.

    Times of one fault add up over tests; `times` counts what was seen to happen.
    """

    def record(fault: str, times: int, result: str) -> None:
        assert times > 0, f"{fault} never happened"
        before = ROWS.get(fault, (0, ""))[0]
        ROWS[fault] = (before + times, result)

    return record


@pytest.fixture(scope="session", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --write-table, a green run of the whole suite writes docs/reliability.md."""
    if request.config.getoption("--write-table") and hasattr(request.config, "workerinput"):
        raise pytest.UsageError("each process sees a part of the table; omit --numprocesses")
    yield
    if request.config.getoption("--write-table") and not request.session.testsfailed:
        TABLE.write_text(with_table(TABLE.read_text(encoding="utf-8")), encoding="utf-8")


def with_table(page: str) -> str:
    """`page` with the rows of this run between its two marks."""
    rows = [f"| {fault} | {times} | {result} |" for fault, (times, result) in sorted(ROWS.items())]
    lines = ["| fault | times | what came of it |", "| --- | --- | --- |", *rows]
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}"
