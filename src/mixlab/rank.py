"""The program of a run's other ranks, which read the run's folder, not a command line.

Lightning starts them with the `sys.argv` of the first rank. With that of a sweep, a rank would run
the whole sweep again and train with a rank of another job.
"""

import sys
from contextlib import suppress
from pathlib import Path

from mixlab.runtime import no_garbage_collection
from mixlab.signals import end_with_parent


def join(folder: Path, allow: list[str]) -> None:
    """Train as another rank. The parent decides what code may be called, not the folder."""
    with no_garbage_collection():
        from omegaconf import OmegaConf

        from mixlab.callbacks import Diverged, Interrupted
        from mixlab.callbacks.trial_reports import Pruned
        from mixlab.runs import Run
        from mixlab.training.fit import fit

    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.allow = allow
    # If a rank ends with an error, Lightning kills the others before they can report theirs.
    with suppress(Interrupted, Diverged, Pruned):
        fit(Run(folder, cfg))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    # Python looks first where the program is, and mixlab.timm would be taken for timm.
    sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]
    end_with_parent()
    join(Path(sys.argv[1]), [name for name in sys.argv[2].split(",") if name])
