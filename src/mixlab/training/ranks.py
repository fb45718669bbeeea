"""How the other ranks of a run start: from its folder, not from this process's command line."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

RANK = Path(__file__).resolve().parents[1] / "rank.py"


@contextmanager
def ranks_join(folder: Path, allow: Iterable[str] = ()) -> Iterator[None]:
    """Within, another rank that Lightning starts runs `mixlab/rank.py` on `folder`."""
    main = sys.modules["__main__"]
    argv, spec = sys.argv, getattr(main, "__spec__", None)
    sys.argv = [str(RANK), str(folder), ",".join(allow)]
    main.__spec__ = None
    try:
        yield
    finally:
        sys.argv, main.__spec__ = argv, spec
