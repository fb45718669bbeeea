"""Settings of the process."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from mixlab.runtime import keep_memory
keep_memory()
def touched():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
large = 48 * 2**20
torch.ones(large, dtype=torch.uint8)
before = touched()
for _ in range(10):
    torch.ones(large, dtype=torch.uint8)
print(touched() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of glibc alone is asked")
def test_memory_of_large_batches_is_used_again() -> None:
    """Ten blocks of 12,288 pages each, one after another, mostly in the same pages."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5 * 12_288
