"""The package can be lifted out: torch and numpy are all that it needs."""

import pickle
import sys
from pathlib import Path

from helpers.mixing_cases import METHODS
from helpers.without import run_without
from mixlab.errors import OF_TRAIN

PROGRAM = """
import pickle
import sys
import torch
loaded = set(sys.modules)
import mixlab.mixing
from mixlab.mixing import Mixer, Policy
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - loaded}))
sys.path.append(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    methods = pickle.load(file)
images, labels = torch.rand(12, 3, 16, 16), torch.arange(12) % 4
for name, method in methods.items():
    mixer = Mixer(method, Policy(partners="derangement"), num_classes=4, seed=0)
    mixed, targets = mixer(images, labels, epoch=0, batch=0)
    assert not torch.equal(mixed, images) and targets.shape == (12, 4), name
print(len(methods))
"""


def test_only_torch_and_numpy_are_needed(tmp_path: Path) -> None:
    """By the import, and by every method at work where the rest is not installed."""
    alone = {name: each for name, each in METHODS.items() if not hasattr(each, "callback")}
    (tmp_path / "methods").write_bytes(pickle.dumps(alone))
    done = run_without(OF_TRAIN, PROGRAM, str(tmp_path / "methods"), str(Path(__file__).parents[1]))
    assert done.returncode == 0, done.stderr
    names, count = done.stdout.splitlines()
    loaded = {name for name in names.split() if not name.startswith("_")}
    assert loaded - set(sys.stdlib_module_names) <= {"mixlab", "torch", "numpy"}
    assert int(count) == len(alone) > 20
