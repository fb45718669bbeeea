"""A program in a process of its own that finds some libraries not installed."""

import subprocess
import sys
from collections.abc import Collection

# What callbacks do without; not what Lightning itself looks for.
BESIDE_LIGHTNING = {"hydra", "omegaconf", "safetensors", "statsmodels", "timm", "wandb"}
HOOK = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in {libraries}
        return None if missing else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


def run_without(
    libraries: Collection[str], program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run `program` with `arguments`, where the `libraries` cannot be imported."""
    text = HOOK.format(libraries=set(libraries)) + program
    words = [sys.executable, "-W", "ignore", "-c", text, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
