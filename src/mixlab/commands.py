"""Where the console commands begin: without `mixlab[train]`, each is one sentence."""

import atexit
import gc
from functools import partial
from importlib import import_module

from mixlab.errors import one_sentence, short_cautions


def start(name: str) -> None:
    """Run the command `mixlab-<name>`."""
    atexit.register(gc.freeze)  # at its end, Python looks for garbage in torch for a second
    short_cautions()
    with one_sentence(f"mixlab-{name}"):
        module = import_module(f"mixlab.{name}")
    module.main()


start_train = partial(start, "train")
start_evaluate = partial(start, "evaluate")
start_preview = partial(start, "preview")
start_compare = partial(start, "compare")
start_sweep = partial(start, "sweep")
start_check = partial(start, "check")
