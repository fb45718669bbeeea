"""The package can be lifted out: it imports nothing beside torch and numpy."""

import subprocess
import sys

PROGRAM = """
import sys
import torch
loaded = set(sys.modules)
import mixlab.mixing
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - loaded}))
"""


def test_only_torch_and_numpy_are_needed() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = {name for name in printed.split() if not name.startswith("_")}
    assert named - set(sys.stdlib_module_names) <= {"mixlab", "torch", "numpy"}
