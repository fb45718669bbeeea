"""The first error of a run's ranks, kept for rank 0 to report: the others' are its consequences.

When a rank raises, the others fail of the lost connection, or wait for it until their time is over.
So the first rank that raises writes a file and stays until rank 0 has taken it over.
"""

import json
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from mixlab.callbacks import Diverged, Interrupted
from mixlab.callbacks.trial_reports import Pruned
from mixlab.config.explain import sentence, users_line
from mixlab.errors import UserError, is_user_error
from mixlab.runs import Run
from mixlab.runs.atomic import read_json, write_json, write_text
from mixlab.runs.folder import now
from mixlab.runs.locks import seconds_with
from mixlab.runs.status import Status, transition
from mixlab.training.ranks import launched

RANKS_FOLDER = ".ranks"  # in the run's
STAYS = 60.0  # seconds that a rank waits for rank 0 to take its error over


class RankFailed(RuntimeError):
    """The error of another rank, whose traceback is a note of this one."""


@contextmanager
def first_error(run: Run) -> Iterator[None]:
    """Within, the first error of all ranks is the one that rank 0 raises."""
    if run.is_own:
        shutil.rmtree(run.folder / RANKS_FOLDER, ignore_errors=True)  # of an earlier training
    try:
        yield
    except (Interrupted, Diverged, Pruned):  # in all ranks together
        raise
    except Exception as error:
        rank = 0 if run.is_own else rank_zero_only.rank or 0
        if rank and launched() is not None and not torch.distributed.is_initialized():
            raise  # nobody waits in a collective yet, and `together` ends the ranks
        if run.is_own and not (run.folder / RANKS_FOLDER).is_dir():
            raise  # there are no other ranks
        first = told(run.folder, rank, error)
        alike = first["error"] == f"rank {first['rank']}: {in_words(error)}"
        if rank == 0 and first["rank"] != 0 and not alike:
            raise as_error(first) from None
        if rank != 0:
            time.sleep(STAYS)
        raise
    if run.is_own:
        shutil.rmtree(run.folder / RANKS_FOLDER, ignore_errors=True)


def told(folder: Path, rank: int, error: Exception) -> dict[str, Any]:
    """Write an error down unless another rank has already, and return the one that is there."""
    home = folder / RANKS_FOLDER
    home.mkdir(exist_ok=True)
    part, place = home / f"{rank}.error", users_line(error)
    record = {
        "rank": rank,
        "error": f"rank {rank}: {in_words(error)}",
        "place": None if is_user_error(error) else place,
        "user_error": is_user_error(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    part.write_text(json.dumps(record), encoding="utf-8")
    with suppress(FileExistsError):
        os.link(part, home / "error.json")  # complete, and only if there is none
    return read_json(home / "error.json")


def in_words(error: BaseException) -> str:
    if is_user_error(error):
        return sentence(error)
    return f"{type(error).__name__}: {error}"


def as_error(first: dict[str, Any]) -> Exception:
    """The error of another rank, to be raised here."""
    if first["user_error"]:
        return UserError(first["error"])
    error = RankFailed(first["error"])
    error.add_note(f"\nRank {first['rank']} raised it:\n\n{first['traceback']}")
    return error


def record_failure(folder: Path, error: str, text: str, user_error: bool = False) -> None:
    """Write `run.json` and `error.txt` from a process that may not be rank 0."""
    record = read_json(folder / "run.json")
    facts = {"error": error, "user_error": user_error, "ended": now()}
    seconds = seconds_with(folder, record)
    write_text(folder / "error.txt", text)
    record = transition(record, Status.FAILED, **facts, seconds=seconds)
    write_json(folder / "run.json", record)
