"""While trials train, a thread hands their reports to the study and stops the hopeless ones."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mixlab.runs.trials import ask_to_stop, reports

if TYPE_CHECKING:
    from optuna.trial import Trial

LOOK_SECONDS = 0.5  # seconds between looks at the reports


class Watch(threading.Thread):
    """Reads what trials report; only this process has the study's database open.

    Args:
        trials: by the folder of their run.
        metric: its name, for the sentence that a pruned run keeps.
    """

    def __init__(self, trials: "Mapping[Path, Trial]", metric: str) -> None:
        super().__init__(daemon=True, name="watch-trials")
        self.trials = trials
        self.metric = metric
        self.over = threading.Event()
        self.seen = {folder: reported(trial) for folder, trial in trials.items()}

    def run(self) -> None:
        try:
            while not self.over.wait(LOOK_SECONDS):
                for folder in self.trials:
                    self.look(folder)
        except Exception as error:  # the trials train on: pruning only saves time
            logging.getLogger(__name__).warning("nothing is pruned any more (%s)", error)

    def look(self, folder: Path, prune: bool = True) -> None:
        """Hand on what is new, and ask the run to stop if the study calls it hopeless."""
        trial, seen = self.trials[folder], self.seen[folder]
        new = {epoch: value for epoch, value in reports(folder).items() if epoch not in seen}
        for epoch, value in sorted(new.items()):
            trial.report(value, epoch)
            seen.add(epoch)
        if new and prune and trial.should_prune():
            epoch = max(seen)
            ask_to_stop(folder, why(trial, epoch, reports(folder)[epoch], self.metric))


def reported(trial: "Trial") -> set[int]:
    """The epochs that the study knows of: a resumed trial has some."""
    return set(trial.study._storage.get_trial(trial._trial_id).intermediate_values)


def why(trial: "Trial", epoch: int, value: float, metric: str) -> str:
    """What a pruned run says of itself."""
    study = trial.study
    best = max if study.direction.name == "MAXIMIZE" else min
    others = [
        each.intermediate_values[epoch]
        for each in study.get_trials(deepcopy=False)
        if each.number != trial.number and epoch in each.intermediate_values
    ]
    where = f", where the best trial had {best(others):.4f}" if others else ""
    kind = type(study.pruner).__name__
    return f"{metric} was {value:.4f} in epoch {epoch + 1}{where} ({kind})"


@contextmanager
def watching_trials(trials: "Mapping[Path, Trial]", metric: str) -> Iterator[None]:
    """Within, the reports of the trials reach the study."""
    watch = Watch(trials, metric)
    watch.start()
    try:
        yield
    finally:
        watch.over.set()
        watch.join()
    for folder in trials:
        watch.look(folder, prune=False)  # later trials are compared with every epoch
