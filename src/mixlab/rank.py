"""Where the other ranks of a run begin: they join it from its folder, not from a command line.

Lightning starts them with this process's `sys.argv`. With the launcher's own, a rank of a sweep
would run the whole sweep again and train with a rank of another job.
"""

import sys
from contextlib import suppress
from pathlib import Path

from mixlab.signals import end_with_parent


def join(folder: Path, allow: list[str]) -> None:
    """Train as one more rank. What code may be called comes from the parent, not the folder."""
    from omegaconf import OmegaConf

    from mixlab.callbacks import Diverged, Interrupted
    from mixlab.runs import Run
    from mixlab.training.fit import fit

    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.allow = allow
    # For a rank that ends with an error Lightning kills the others, before they have said why.
    with suppress(Interrupted, Diverged):
        fit(Run(folder, cfg))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    end_with_parent()
    join(Path(sys.argv[1]), [name for name in sys.argv[2].split(",") if name])
