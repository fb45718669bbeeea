"""How the other ranks of a run start."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ranks_join(folder: Path, allow: Iterable[str] = ()) -> Iterator[None]:
    """Within, a process that Lightning starts for another rank runs this file on `folder`."""
    main = sys.modules["__main__"]
    argv, spec = sys.argv, getattr(main, "__spec__", None)
    sys.argv = [str(Path(__file__).resolve()), str(folder), ",".join(allow)]
    main.__spec__ = None
    try:
        yield
    finally:
        sys.argv, main.__spec__ = argv, spec
