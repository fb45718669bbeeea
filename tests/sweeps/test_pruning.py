"""The thread between the trials' reports and their study."""

from pathlib import Path

import optuna

from mixlab.runs.trials import report_epoch, reports, stop_reason
from mixlab.sweeps.pruning import Watch, watching_trials


def study_with_one_trial(direction: str) -> optuna.Study:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    study = optuna.create_study(direction=direction, pruner=pruner)
    trial = study.ask()
    for epoch in range(3):
        trial.report(0.5, epoch)
    study.tell(trial, 0.5)
    return study


def test_a_hopeless_trial_is_asked_to_stop_and_told_why(tmp_path: Path) -> None:
    for direction, bad, good in (("maximize", 0.4, 0.6), ("minimize", 0.6, 0.4)):
        study = study_with_one_trial(direction)
        folders = {name: tmp_path / f"{direction}-{name}" for name in ("bad", "good")}
        for folder in folders.values():
            folder.mkdir()
        watch = Watch({folder: study.ask() for folder in folders.values()}, "val/loss")
        for epoch in range(2):
            report_epoch(folders["bad"], epoch, bad)
            report_epoch(folders["good"], epoch, good)
            for folder in folders.values():
                watch.look(folder)
            if epoch == 0:
                assert stop_reason(folders["bad"]) is None, "not before the warm-up is over"
        said = f"val/loss was {bad:.4f} in epoch 2, where the best trial had"
        assert (stop_reason(folders["bad"]) or "").startswith(said)
        assert "(MedianPruner)" in (stop_reason(folders["bad"]) or "")
        assert stop_reason(folders["good"]) is None


def test_every_epoch_reaches_the_study_and_a_resumed_trial_reports_once(tmp_path: Path) -> None:
    study = optuna.create_study()
    trial = study.ask()
    report_epoch(tmp_path, 0, 0.25)
    with watching_trials({tmp_path: trial}, "val/loss"):
        report_epoch(tmp_path, 1, 0.75)  # and the run ends before anybody looks
    assert study.trials[0].intermediate_values == {0: 0.25, 1: 0.75} == reports(tmp_path)
    assert Watch({tmp_path: trial}, "val/loss").seen == {tmp_path: {0, 1}}
