"""A command as a user starts it, with every process that comes of it in sight."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from helpers.small_runs import SMALL, write_lab

MYLAB = '''
import ctypes, os, signal, sys
from pathlib import Path
import pytorch_lightning as pl

def segfault():
    ctypes.string_at(0)

FAULTS = {
    "_exit": lambda: os._exit(7),
    "segmentation fault": segfault,
    "abort": os.abort,
    "out of memory": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: sys.exit(0),
}

class Fault(pl.Callback):
    """Writes down each epoch that begins; in epoch 1 does what the file of the run's seed says."""

    def on_train_epoch_start(self, trainer, module):
        folder = Path(trainer.default_root_dir)
        with open(folder / f"epochs-{trainer.global_rank}.txt", "a") as file:
            print(trainer.current_epoch, file=file)
        asked = Path("faults", folder.name)
        if trainer.current_epoch == 1 and asked.exists():
            FAULTS[asked.read_text()]()
'''
CALLBACKS = "defaults: [default]\nfault:\n  _target_: mylab.Fault\n"
# A sweep leaves alone what failed, where it can be asked to train that again.
RETRY = ("retry=failed",)
WORDS = ("--config-dir=conf", "callbacks=fault", "allow=[mylab]", *SMALL, "logger=csv")


def make_lab(folder: Path) -> Path:
    """A user's folder, with a callback that counts epochs and makes the trouble it is asked for."""
    (folder / "faults").mkdir()
    return write_lab(folder, MYLAB, CALLBACKS, "fault")


class Command:
    """`mixlab-train ...` in `folder`, and all that comes of it, marked in the environment."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.mark = f"MIXLAB_TEST={uuid.uuid4().hex}"
        self._output = folder / f"{self.mark[-8:]}.out"
        name, value = self.mark.split("=")
        with open(self._output, "w") as output:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("mixlab-train")), *words],
                cwd=folder,
                env={**os.environ, name: value},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=hear,
            )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.alive():
            send(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def said(self) -> str:
        return self._output.read_text()

    def wait(self, seconds: float = 280) -> int:
        """Its exit status."""
        return self.process.wait(seconds)

    def alive(self) -> list[int]:
        """Processes of this command that have not ended."""
        return [pid for pid in pids() if is_marked(pid, self.mark) and state(pid) not in "ZX?"]

    def jobs(self) -> list[int]:
        """Processes of the jobs: each leads a session."""
        leaders = [pid for pid in self.alive() if os.getsid(pid) == pid]
        return [pid for pid in leaders if pid != self.process.pid]

    def server(self) -> int:
        """The fork server."""
        (found,) = (
            pid
            for pid in self.alive()
            if b"multiprocessing.forkserver" in words_of(pid) and parent(pid) == self.process.pid
        )
        return found

    def ranks(self) -> list[int]:
        """Processes that have joined a run as its other ranks."""
        return [pid for pid in self.alive() if b"mixlab/rank.py" in words_of(pid)]

    def left(self, seconds: float = 20) -> dict[int, bytes]:
        """What of it has not ended by itself so many seconds from now, with its command line."""
        until(lambda: not self.alive(), seconds)
        return {pid: words_of(pid) for pid in self.alive()}


def hear() -> None:
    """What a shell's background and `nohup` ignore would be inherited."""
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


def until(holds: Callable[[], object], seconds: float = 200, every: float = 0.05) -> bool:
    """Wait until something holds; whether it did in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def send(pid: int, signum: int) -> bool:
    """Whether there was a process to send the signal to."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
        return True
    return False


def pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())


def is_marked(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def words_of(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def fields(pid: int) -> list[str]:
    """From /proc/PID/stat, what follows the name: state, parent, ..."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ["?", "0"]


def state(pid: int) -> str:
    """R, S, T (stopped), Z, ...; ? where it is gone."""
    return fields(pid)[0]


def parent(pid: int) -> int:
    return int(fields(pid)[1])
