"""Run folders as they are found on disk, and what their files say."""

import glob
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError
from mixlab.runs.configs import stored_config
from mixlab.runs.locks import is_running
from mixlab.runs.status import Status, first_names

UNREADABLE, DUPLICATE = "unreadable", "duplicate"  # of folders; no record has these
STATUSES = (
    Status.FINISHED, Status.RUNNING, Status.PLANNED, Status.INTERRUPTED, Status.FAILED,
    Status.DIVERGED, Status.PRUNED, UNREADABLE, DUPLICATE,
)  # fmt: skip
PLAINLY = "plain"  # how runs were tested without views, limits or other data
GIVE = "give a run folder, a sweep folder, any folder above them, or a glob"


@dataclass(frozen=True)
class StoredRun:
    """One run folder. Any file in it may be missing or malformed."""

    folder: Path
    status: str  # one of STATUSES
    arm: str  # the arm's hash, or the name of its folder where there is none
    slug: str  # the readable part of the arm's name
    seed: int | None
    problem: str = ""  # why it does not count, in one line
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)  # run.json
    evaluation: str = ""  # how it was tested, where runs are told apart by that

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """config.yaml, or {} where it is missing or broken."""
        return stored_config(self.folder)

    def value(self, checkpoint: str, metric: str) -> float | None:
        """A metric at the checkpoint `best` or `last`; None where it is absent or not finite."""
        return finite_number(self.results(checkpoint).get(metric))

    def results(self, checkpoint: str) -> Mapping[str, Any]:
        return mapping(mapping(self.record.get("results")).get(checkpoint))

    @property
    def is_plain(self) -> bool:
        """Whether it stands for its training, and not for a test of it in another way."""
        return self.evaluation in ("", PLAINLY)

    @property
    def place(self) -> tuple[Path, str]:
        """What tells it apart: its folder, and how it was evaluated."""
        return self.folder, self.evaluation

    @property
    def data_hash(self) -> str | None:
        digest = mapping(self.record.get("data")).get("sha256")
        return str(digest) if digest else None


@dataclass(frozen=True)
class Found:
    """The runs and sweeps under the given paths."""

    runs: tuple[StoredRun, ...]
    sweeps: tuple[Path, ...]  # folders with a sweep.json
    notes: tuple[str, ...] = ()  # about what was found and does not count


def find(paths: Iterable[str | Path]) -> Found:
    """Read every run under `paths`, each once, and those that a sweep there plans.

    Raises:
        UserError: a path does not exist, or there is no run under any of them.
    """
    given = [folder for path in paths for folder in _expand(str(path))]
    sweeps: dict[Path, None] = {}
    folders: dict[Path, None] = {}
    for folder in given:
        for run_or_sweep in _walk(folder):
            if (run_or_sweep / "run.json").is_file():
                folders[run_or_sweep] = None
            else:
                sweeps[run_or_sweep] = None
                folders.update(dict.fromkeys(_planned(run_or_sweep)))
    if not folders:
        listed = one_line(first_names([str(path) for path in given], 3))
        raise UserError(f"no run.json or sweep.json under {listed}; {GIVE}")
    return Found(tuple(read_run(folder) for folder in folders), tuple(sweeps))


def read_run(folder: Path) -> StoredRun:
    """Read one run folder. A folder that does not exist is a planned run."""
    slug, arm, seed = _from_name(folder)
    try:
        record = mapping(json.loads((folder / "run.json").read_bytes()))
    except FileNotFoundError:
        return StoredRun(folder, Status.PLANNED, arm, slug, seed)
    except (OSError, ValueError) as error:
        return StoredRun(folder, UNREADABLE, arm, slug, seed, f"run.json: {one_line(error)}")
    recorded_seed = record.get("seed")
    seed = recorded_seed if isinstance(recorded_seed, int) else seed
    status, problem = _state(folder, record)
    return StoredRun(
        folder, status, str(record.get("hash") or arm), str(record.get("arm") or slug), seed,
        problem, record,
    )  # fmt: skip


def is_archived(name: str) -> bool:
    """Whether `existing=new` has archived a folder of this name."""
    return re.fullmatch(r"seed-\d+\.\d+", name) is not None


def mapping(node: Any) -> Mapping[str, Any]:
    """`node` if it is a mapping, else an empty one."""
    return node if isinstance(node, Mapping) else {}


def finite_number(value: Any) -> float | None:
    """`value` as a finite float, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def one_line(text: Any, longest: int = 200) -> str:
    """Text for a table or a terminal: one line, printable, limited in length."""
    words = str(text)
    if not words.isprintable():
        words = "".join(c if c.isprintable() else " " for c in words)
    line = " ".join(words.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def shown_path(path: Path) -> str:
    """A path relative to the working directory, if it is below it."""
    return one_line(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path, 1000)


def _expand(path: str) -> list[Path]:
    if os.path.lexists(path):
        return [Path(path)]
    matches = sorted(glob.glob(os.path.expanduser(path), recursive=True))
    if not matches:
        raise UserError(f"there is no {one_line(path)}; {GIVE}")
    return [Path(match) for match in matches]


def _walk(path: Path) -> Iterator[Path]:
    """Yield folders with a run.json or a sweep.json; a run folder has none below it.

    Runs archived by `existing=new` (`seed-0.1`) are found only if `path` names them.
    """
    path = path.resolve()
    if path.name in ("run.json", "sweep.json"):
        path = path.parent
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not is_archived(name))
        if "run.json" in files or "sweep.json" in files:
            yield Path(folder)
        if "run.json" in files:
            below.clear()


def _planned(sweep: Path) -> list[Path]:
    try:
        listed = json.loads((sweep / "sweep.json").read_bytes())["runs"]
        return [Path(os.path.normpath(sweep / run)) for run in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{shown_path(sweep / 'sweep.json')} lists no runs ({one_line(error)}); "
            "run the sweep again, or give the folder of its runs"
        ) from None


def _from_name(folder: Path) -> tuple[str, str, int | None]:
    """Arm name, hash and seed from `<arm>-<hash8>/seed-<n>`, where the names have them."""
    parent = folder.parent.name
    named = re.fullmatch(r"(.+)-([0-9a-f]{8})", parent)
    slug, arm = named.groups() if named else (parent, parent)
    seed = re.fullmatch(r"seed-(\d+)", folder.name)
    return slug, arm, int(seed[1]) if seed else None


def _state(folder: Path, record: Mapping[str, Any]) -> tuple[str, str]:
    """The status and the problem; a run whose lock is free is not running any more."""
    status, error = str(record.get("status")), one_line(record.get("error") or "")
    if status not in STATUSES:
        return UNREADABLE, f"run.json has the status {one_line(status, 40)}"
    if status == Status.RUNNING and (folder / ".lock").exists() and not is_running(folder):
        return Status.INTERRUPTED, error or "its process is gone"
    return status, error


def read_config(folder: Path, cfg: DictConfig) -> DictConfig:
    """The configuration of a run folder, with `allow` and `threads` from this command."""
    file = folder / "config.yaml"
    if not file.is_file():
        inside = sorted(entry.parent.name for entry in folder.glob("seed-*/config.yaml"))
        hint = f"; did you mean {folder / inside[0]}?" if inside else ""
        raise UserError(f"{folder} is not a run folder: it has no config.yaml{hint}")
    found = OmegaConf.load(file)
    assert isinstance(found, DictConfig)
    found.allow = cfg.allow
    found.threads = cfg.get("threads", found.get("threads"))
    if cfg.data_path is not None:
        for node in (found.data, found.data.source):
            if node.get("path"):  # both are resolved in a run's configuration
                node.path = str(Path(cfg.data_path).resolve())
    return found
