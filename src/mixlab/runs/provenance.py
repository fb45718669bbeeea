"""What produced a run: code, data, versions, hardware."""

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mixlab.errors import UserError
from mixlab.runs.reach import TRAINS, reached_files, source_files
from mixlab.runs.status import first_names
from mixlab.runtime import available_cores

PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "timm", "numpy",
    "wandb",
)  # fmt: skip
# The code that decides what the batches of a run are.
BATCHES = ("mixing", "data", "callbacks/mixing.py")


def code_hashes(allow: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 of each source file of mixlab, and of the user's own packages, that can matter."""
    files = source_files(allow).items()
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files}


def reached_hashes(cfg: Any) -> dict[str, str]:
    """SHA-256 of each source file that a run of this configuration reaches."""
    hashes = code_hashes(cfg.get("allow") or ())
    return {name: hashes[name] for name in reached_files(cfg)}


def changed_files(
    before: dict[str, str], now: dict[str, str], reached: Iterable[str] = ()
) -> list[str]:
    """Files that differ or were removed; all files if none is on record.

    Args:
        before: hashes of the files that the run reached.
        now: hashes of all files.
        reached: files that the run would reach now. Of new files only these count.
    """
    names = {*before, *reached} if before else now
    return sorted(name for name in names if before.get(name) != now.get(name))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose release can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def hardware() -> dict[str, Any]:
    """The processor's name, the available cores, and the GPU's name if there is one."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cpu": cpu_name(), "cores": available_cores(), "gpu": gpu}


def cpu_name() -> str:
    """The processor's name as the kernel gives it, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of the checkout mixlab runs from, with `+` if it has uncommitted changes."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def command_line() -> list[str] | None:
    """The `mixlab-train` command of this process, to be pasted; None if it is another program's.

    As it was typed, though the parser of the command line has changed `sys.argv`.
    """
    for place, word in enumerate(sys.orig_argv):  # Python, its options, the program, its words
        if Path(word).name in ("mixlab-train", "mixlab.train"):
            return ["mixlab-train", *sys.orig_argv[place + 1 :]]
    return None


def check_code(
    record: dict[str, Any], allow: Iterable[str] = (), rooms: tuple[str, ...] = TRAINS
) -> None:
    """Raise UserError if the code of some rooms changed since the run was trained.

    Args:
        record: the run's `run.json`.
        allow: the user's own packages; files of others are not checked.
        rooms: folders of mixlab whose code matters.
    """
    now, packages = code_hashes(allow), tuple(allow)
    folders = tuple(f"mixlab/{room}" for room in rooms)
    changed = [
        name
        for name, digest in sorted(record.get("code", {}).items())
        if now.get(name) != digest
        and (name.startswith(folders) or name.split("/")[0].removesuffix(".py") in packages)
    ]
    if changed:
        commit = record.get("git") or "the run's own"
        raise UserError(
            f"{first_names(changed)} changed since the run was trained, so its batches cannot be "
            f"made again; go back to the code of commit {commit}"
        )


def check_same_data(record: dict[str, Any], data: Any) -> None:
    """Raise UserError if the data changed since the run was trained."""
    if record.get("data", {}).get("sha256") != data.fingerprint:
        raise UserError(
            f"the data ({data.path or data.name}) changed since the run was trained, so its "
            "batches cannot be made again; name the file it was trained on with data_path=..."
        )
