"""What a run was made by: code, versions, hardware."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mixlab.config.allowlist import first_file
from mixlab.errors import UserError
from mixlab.runs.reach import TRAINS, reached_files
from mixlab.runtime import available_cores

PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "timm", "numpy",
    "wandb",
)  # fmt: skip
# The code that decides what the batches of a run are.
BATCHES = ("mixing", "data", "callbacks/mixing.py")


def code_hashes(allow: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 of each source file of mixlab, and of the user's own packages, that can matter."""
    hashes: dict[str, str] = {}
    for package in ("mixlab", *allow):
        root = first_file(package)
        files = root.parent.rglob("*.py") if root.name == "__init__.py" else [root]
        for file in sorted(files):
            name = file.relative_to(root.parent)
            if package != "mixlab" or name.parts[0] in TRAINS:
                key = f"{package}/{name.as_posix()}" if root.name == "__init__.py" else root.name
                hashes[key] = hashlib.sha256(file.read_bytes()).hexdigest()
    return hashes


def reached_hashes(cfg: Any) -> dict[str, str]:
    """SHA-256 of each source file that a run of this configuration reaches."""
    hashes = code_hashes(cfg.get("allow") or ())
    return {name: hashes[name] for name in reached_files(cfg)}


def changed_files(
    before: dict[str, str], now: dict[str, str], reached: Iterable[str] = ()
) -> list[str]:
    """Files that differ or went, all of them where none is on record.

    Args:
        before: hashes of the files that the run reached.
        now: hashes of all files. One that came since changes no earlier result,
        reached: except for those that the run would reach now.
    """
    names = {*before, *reached} if before else now
    return sorted(name for name in names if before.get(name) != now.get(name))


def versions() -> dict[str, str]:
    """Of Python and of the packages whose release can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def hardware() -> dict[str, Any]:
    """The processor's name, its cores, and the GPU's name if there is one."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cpu": cpu_name(), "cores": available_cores(), "gpu": gpu}


def cpu_name() -> str:
    """As the kernel calls it; the architecture where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of the checkout mixlab runs from, with `+` if it has uncommitted changes."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def check_code(
    record: dict[str, Any], allow: Iterable[str] = (), rooms: tuple[str, ...] = TRAINS
) -> None:
    """Raise ValueError if the code of some rooms is not what the run was made by.

    Args:
        record: the run's `run.json`.
        allow: the user's own packages; of others nothing can be said.
        rooms: folders of mixlab whose code matters.
    """
    now, mine = code_hashes(allow), tuple(allow)
    theirs = tuple(f"mixlab/{room}" for room in rooms)
    changed = [
        name
        for name, digest in sorted(record.get("code", {}).items())
        if now.get(name) != digest
        and (name.startswith(theirs) or name.split("/")[0].removesuffix(".py") in mine)
    ]
    if changed:
        files = ", ".join(changed[:5]) + (" ..." if len(changed) > 5 else "")
        commit = record.get("git") or "the run's own"
        raise UserError(
            f"{files} changed since the run was trained, so its batches cannot be made again; "
            f"go back to the code of commit {commit}"
        )
