"""What SLURM says: which jobs wait or run, how a job ended, and what its commands answer."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlab.errors import UserError
from mixlab.sweeps.slurm.submission import SCRIPT, folders_of

PATIENCE = 90  # seconds that a command may take; SLURM's own try for about a minute
# Without those of a job that the launcher itself runs in, which sbatch would pass on.
NOT_ON_PATH = (
    "hydra/launcher=slurm needs {}, which is not on the PATH; call the command on a login node of "
    "a SLURM cluster"
)


class NoAnswer(UserError):
    """SLURM cannot be asked now."""


@dataclass(frozen=True)
class QueuedJob:
    """An element of a job array that waits, runs or is being ended."""

    array: int  # its number grows with each submission
    name: str  # 12_3, as SLURM's commands take it
    state: str
    reason: str  # why it waits
    folder: Path


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    state: str
    nodes: str

    def __str__(self) -> str:
        return f"{self.state}{f' on {self.nodes}' if self.nodes else ''}"


def slurm(*words: str) -> str:
    """What a command of SLURM prints.

    Raises:
        UserError: there is no such command, or it refused, in its own words.
        NoAnswer: SLURM did not answer.
    """
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=own_variables(),
            check=False,
        )
    except FileNotFoundError:
        raise UserError(NOT_ON_PATH.format(words[0])) from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(
            f"SLURM does not answer ({words[0]} took more than {PATIENCE} seconds)"
        ) from None
    if done.returncode == 0:
        return done.stdout
    said = own_words(done.stderr)
    if any(word in said for word in ("contact slurm controller", "configuration")):
        raise NoAnswer(f"SLURM does not answer ({words[0]}: {said})")
    raise UserError(f"{words[0]}: {said}")


def check_slurm() -> None:
    """Raise UserError unless SLURM can be used from here."""
    for program in ("sbatch", "scontrol"):
        if shutil.which(program) is None:
            raise UserError(NOT_ON_PATH.format(program))
    slurm("squeue", "--me", "--noheader", "--format=%i")


def own_variables() -> dict[str, str]:
    """Variables for SLURM's commands."""
    foreign = ("SLURM_", "SQUEUE_", "SACCT_")
    items = os.environ.items()
    return {name: x for name, x in items if name == "SLURM_CONF" or not name.startswith(foreign)}


def own_words(text: str) -> str:
    """What a command wrote on standard error, in one sentence."""
    lines = [line.split("error: ")[-1].split("fatal: ")[-1].strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "it failed without a word"


def queued() -> list[QueuedJob]:
    """The user's jobs of any sweep that wait or run, in the order of their submission."""
    text = slurm("squeue", "--me", "--array", "--noheader", "--format=%F|%K|%T|%r|%o")
    jobs = []
    for line in text.splitlines():
        array, index, state, reason, script = line.split("|", 4)
        folders = folders_of(Path(script)) if Path(script).name == SCRIPT else []
        if index.isdecimal() and int(index) < len(folders):
            name = f"{array}_{index}"
            jobs.append(QueuedJob(int(array), name, state, reason, folders[int(index)]))
    return sorted(jobs, key=lambda job: job.array)


def by_folder(jobs: Sequence[QueuedJob]) -> dict[Path, QueuedJob]:
    """The first job of each run folder: it trains the run, and any later one leaves it alone."""
    found: dict[Path, QueuedJob] = {}
    for job in jobs:
        found.setdefault(job.folder, job)
    return found


def ending_of(name: str) -> Ending | None:
    """How a job ended: the controller remembers it for minutes, the accounting for long."""
    try:
        text = slurm("scontrol", "--oneliner", "show", "job", name)
        fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
        return Ending(fields["JobState"], fields.get("NodeList", "").replace("(null)", ""))
    except (UserError, KeyError):
        pass
    try:
        form = "--format=State,NodeList"
        text = slurm("sacct", "--allocations", "--noheader", "--parsable2", form, "--jobs", name)
        state, nodes = text.strip().splitlines()[-1].split("|")
        return Ending(state.split()[0], nodes)
    except (UserError, IndexError, ValueError):  # there may be no accounting
        return None


def state_of(name: str) -> str:
    """The state of a job now; empty if SLURM does not know."""
    ending = ending_of(name)
    return ending.state if ending else ""
