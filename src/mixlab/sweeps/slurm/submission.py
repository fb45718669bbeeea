"""A folder for each submission: the script of its job array, and what each of its jobs trains."""

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import make_folder, write_text
from mixlab.sweeps.worker import JobSpec

SCRIPT = "job.sh"  # what squeue shows as a job's command
JOBS = "jobs.json"


@dataclass(frozen=True)
class Submission:
    """The jobs of one array, by their index.

    Attributes:
        max_requeues: times that one of them may be stopped by SLURM and start again.
    """

    specs: Sequence[JobSpec]
    max_requeues: int

    def write(self, folder: Path, setup: Iterable[str]) -> Path:
        """Write the jobs and their script, and return the script."""
        configs = list(dict.fromkeys(spec.config for spec in self.specs))
        jobs = [
            {"config": configs.index(spec.config), "folder": str(spec.folder), "own": spec.own}
            for spec in self.specs
        ]
        known = {"max_requeues": self.max_requeues, "configs": configs, "jobs": jobs}
        write_text(folder / JOBS, json.dumps(known, default=dict))
        program = shlex.join([sys.executable, "-m", "mixlab.sweeps.slurm.job", str(folder / JOBS)])
        lines = ["#!/bin/bash", *setup, f"exec {program}"]
        write_text(folder / SCRIPT, "\n".join(lines) + "\n")
        return folder / SCRIPT

    @staticmethod
    def read(path: Path) -> "Submission":
        """From its `jobs.json`."""
        known: dict[str, Any] = json.loads(path.read_text())
        specs = [
            JobSpec(known["configs"][job["config"]], Path(job["folder"]), job["own"])
            for job in known["jobs"]
        ]
        return Submission(specs, known["max_requeues"])


def new_folder(sweep: Path) -> Path:
    """`slurm/1`, then `slurm/2`, in the folder of a sweep; no two launchers get the same."""
    above = sweep / "slurm"
    make_folder(above)
    number = 1 + max((int(x.name) for x in above.iterdir() if x.name.isdecimal()), default=0)
    while True:
        try:
            (above / str(number)).mkdir()
            return above / str(number)
        except FileExistsError:
            number += 1


@cache
def folders_of(script: Path) -> list[Path]:
    """The run folder of each job of an array, by its index; empty if it is not one of ours."""
    try:
        return [
            Path(job["folder"]) for job in json.loads((script.parent / JOBS).read_text())["jobs"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
