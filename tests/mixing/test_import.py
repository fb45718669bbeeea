"""The package can be lifted out: it costs next to nothing beside torch and imports nothing else."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
import torch
loaded = set(sys.modules)
start = time.perf_counter()
import mixlab.mixing
print(time.perf_counter() - start)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - loaded}))
"""


@pytest.fixture(scope="module")
def imported() -> list[tuple[float, set[str]]]:
    """Seconds and top-level modules of the import, from fresh interpreters."""
    results = []
    for _ in range(3):
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds, modules = lines.strip().split("\n")
        results.append((float(seconds), set(modules.split())))
        if results[-1][0] < 0.05:
            break
    return results


def test_the_import_takes_less_than_50_ms(imported: list[tuple[float, set[str]]]) -> None:
    assert min(seconds for seconds, _ in imported) < 0.05


def test_only_torch_and_numpy_are_needed(imported: list[tuple[float, set[str]]]) -> None:
    named = {name for name in imported[0][1] if not name.startswith("_")}
    assert named - set(sys.stdlib_module_names) <= {"mixlab", "torch", "numpy"}
