"""Kills at random moments, and the same command again until everything is finished."""

import json
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from helpers.commands import Command, send
from mixlab.runs.atomic import read_json


@dataclass
class Storm:
    """Sends so many SIGKILLs, now and then to the launcher instead of a job.

    Args:
        kills: how many.
        launchers: how many of them hit the launcher.
        pause: mean seconds between two.
        rng: where moments and victims come from.
    """

    kills: int
    launchers: int
    pause: float
    rng: random.Random
    jobs_hit: int = 0
    launchers_hit: int = 0
    commands: int = 0
    finished: dict[Path, bytes] = field(default_factory=dict)

    @property
    def hit(self) -> int:
        return self.jobs_hit + self.launchers_hit

    def rage(self, folder: Path, *words: str) -> float:
        """Run the command until it ends with 0; the seconds that took."""
        began = time.monotonic()
        victims = ["launcher"] * self.launchers + ["job"] * (self.kills - self.launchers)
        self.rng.shuffle(victims)
        status = None
        while status != 0:
            assert self.commands <= self.kills, "it never ends"
            self.commands += 1
            with Command(folder, *words) as command:
                self.strike(command, victims)
                status = command.wait()
            self.assert_finished_work_stands(folder)
        return time.monotonic() - began

    def strike(self, command: Command, victims: list[str]) -> None:
        """Kill what is next in the list, one after another, until the command ends."""
        while victims and command.process.poll() is None:
            time.sleep(self.rng.uniform(0, 2 * self.pause))
            jobs = command.jobs()
            if not jobs or command.process.poll() is not None:
                continue  # it has only just begun, or is over
            if victims[-1] == "launcher":
                command.process.kill()
                self.launchers_hit += 1
            else:
                self.jobs_hit += send(self.rng.choice(jobs), signal.SIGKILL)
            victims.pop()

    def assert_finished_work_stands(self, folder: Path) -> None:
        """A run that was finished once is never touched again."""
        for path, before in self.finished.items():
            assert path.read_bytes() == before, f"{path} was made again"
        for path in folder.rglob("run.json"):
            if read_json(path).get("status") == "finished":
                self.finished[path] = path.read_bytes()


def runs_of(sweep: Path) -> list[Path]:
    """The run folders of a sweep."""
    return [sweep / run for run in json.loads((sweep / "sweep.json").read_text())["runs"]]
