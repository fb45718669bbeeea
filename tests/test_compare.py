"""The command: what it prints, what it writes, and how it fails."""

import csv
import json
import os
import subprocess
import sys

import pytest

from helpers.written_runs import (
    config,
    mixing,
    quickstart,
    write_arms,
    write_evaluations,
    write_run,
    write_sweep,
)
from mixlab.compare import main

REPORT = ["report.csv", "report.html", "report.md", "report.png"]


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "sweep.json")


def test_a_sweep_alone_gets_its_report_and_the_path_is_last(tmp_path, capsys):
    sweep = quickstart(tmp_path)
    main([str(sweep)])
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == str(sweep / "report.html")
    assert all(word in shown for word in ("none", "mixup", "cutmix", "15 finished"))
    assert files(sweep) == REPORT
    assert "![" in (sweep / "report.md").read_text()


def test_other_paths_write_only_where_they_are_told_to(tmp_path, capsys):
    sweep = quickstart(tmp_path)
    main([str(tmp_path / "runs")])
    main([str(sweep), str(tmp_path / "runs")])
    assert files(sweep) == [] and "report.html" not in capsys.readouterr().out
    main([str(tmp_path / "runs"), "--output", str(tmp_path / "a/b")])
    assert files(tmp_path / "a/b") == REPORT


@pytest.mark.parametrize(
    ("form", "start"),
    [("markdown", "# test accuracy"), ("csv", "block,arm"), ("html", "<!doctype")],
)
def test_formats_go_to_standard_output_alone(tmp_path, capsys, form, start):
    sweep = quickstart(tmp_path)
    main([str(sweep), "--format", form])
    shown = capsys.readouterr()
    assert shown.out.startswith(start) and "report.html" not in shown.out.splitlines()[-1]
    assert shown.err == "" and files(sweep) == []
    main([str(sweep), "--format", form, "--output", str(tmp_path / "o")])
    again = capsys.readouterr()
    assert again.err.strip() == str(tmp_path / "o/report.html")
    if form == "csv":
        assert again.out == (tmp_path / "o/report.csv").read_text() == shown.out


def test_by_and_baseline(tmp_path, capsys):
    for rate in (0.1, 0.01, 0.001):
        write_run(tmp_path, config(None, **{"optimizer.lr": rate}), 0)
    arguments = ["--by", "optimizer.lr", "--baseline", "lr=0.1", "--format", "csv"]
    main([str(tmp_path), *arguments])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["baseline"] for row in rows} == {"lr=0.1"}
    assert {row["arm"] for row in rows} == {"lr=0.1", "lr=0.01", "lr=0.001"}


def evaluated_sweep(folder, seeds=range(6)):
    """`none`, `mixup`, `cutmix`, each also by a vote that is half a point worse, but for noise."""
    sweep = quickstart(folder, seeds)
    for run in folder.glob("runs/*/*/seed-*"):
        record = json.loads((run / "run.json").read_text())
        worse = record["results"]["best"]["test/accuracy"] - 0.005 - 0.0001 * (record["seed"] % 3)
        write_evaluations(run, {"test": {"nll": 0.2}, "test tta=flip": {"accuracy": worse}})
    return sweep


def csv_rows(capsys, *arguments):
    main([*map(str, arguments), "--format", "csv"])
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def test_a_vote_is_an_arm_beside_the_plain_test_of_each_method(tmp_path, capsys):
    rows = csv_rows(capsys, evaluated_sweep(tmp_path), "--by", "evaluation")
    voted = [row for row in rows if row["arm"] == "tta=flip" and row["checkpoint"] == "best"]
    assert len(voted) == 3 and len({row["block"] for row in voted}) == 3
    for row in voted:
        assert (row["baseline"], row["pairs"], row["verdict"]) == ("plain", "6", "worse")
        assert float(row["difference"]) == pytest.approx(-0.0051)
        assert row["seconds_per_epoch"] == "", "a vote costs no training"


def test_methods_are_compared_under_each_way_of_testing(tmp_path, capsys):
    sweep = evaluated_sweep(tmp_path)
    rows = csv_rows(capsys, sweep, "--evaluations")
    assert {row["block"] for row in rows} == {"digits, cnn, plain", "digits, cnn, tta=flip"}
    assert {row["baseline"] for row in rows} == {"none"}
    usual = csv_rows(capsys, sweep)
    plain = [row | {"block": "digits, cnn"} for row in rows if row["block"].endswith("plain")]
    assert plain == usual, "the plain tests as ever"
    assert "test/nll" in {row["metric"] for row in csv_rows(
        capsys, sweep, "--evaluations", "--metric", "test/nll")}  # fmt: skip
    all_arms = csv_rows(capsys, sweep, "--by", "mixing", "--by", "evaluation")
    assert {row["baseline"] for row in all_arms} == {"none plain"}
    assert len({row["arm"] for row in all_arms}) == 6


def test_a_page_of_evaluations_counts_a_run_once(tmp_path, capsys):
    sweep = evaluated_sweep(tmp_path, range(2))
    main([str(sweep), "--evaluations"])
    assert "6 runs: 6 finished" in capsys.readouterr().out
    page = (sweep / "report.html").read_text()
    assert "tta=flip" in page and f"mixlab-compare {sweep} --evaluations" in page
    main([str(sweep), "--by", "evaluation", "--per-class"])
    assert "plain" in capsys.readouterr().out


def test_comparing_what_nobody_evaluated_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(quickstart(tmp_path, range(2))), "--by", "evaluation"])
    assert "no run there has an evaluation.json" in capsys.readouterr().err


def test_the_page_says_how_to_repeat_it(tmp_path, capsys):
    sweep = quickstart(tmp_path)
    main([str(sweep), "--baseline", "mixup", "--margin", "0.005", "--metric", "test/loss"])
    page = (sweep / "report.html").read_text()
    assert f"mixlab-compare {sweep} --metric test/loss --baseline mixup --margin 0.005" in page


def test_a_second_report_replaces_the_first(tmp_path, capsys):
    sweep = quickstart(tmp_path)
    main([str(sweep)])
    first = (sweep / "report.html").read_text()
    for run in tmp_path.glob("runs/*/*/*/run.json"):
        run.write_text("{")
    main([str(sweep)])
    assert files(sweep) == ["report.csv", "report.html", "report.md"]
    assert (sweep / "report.html").read_text() != first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "mixlab-compare: there is no nowhere; give a run folder"),
        (["no*where"], "mixlab-compare: there is no no*where"),
        (["SWEEP", "--metric", "test/acc"], "did you mean test/accuracy?"),
        (
            ["SWEEP", "--baseline", "mixpu"],
            "no arm is called mixpu; choose one of cutmix, mixup, none",
        ),
        (["SWEEP", "--by", "optimizer.l"], "did you mean optimizer.lr?"),
        (["SWEEP", "--margin", "-1"], "must be a number above 0, got -1"),
        (["SWEEP", "--margin", "half"], "must be a number above 0, got half"),
        (["SWEEP", "--output", "FILE"], "mixlab-compare:"),
        ([], "PATH"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_status_2(tmp_path, capsys, arguments, sentence):
    sweep = quickstart(tmp_path, range(2))
    (tmp_path / "file").write_text("")
    names = {"SWEEP": str(sweep), "FILE": str(tmp_path / "file")}
    with pytest.raises(SystemExit) as error:
        main([names.get(word, word) for word in arguments])
    shown = capsys.readouterr().err
    assert error.value.code == 2
    assert sentence in shown.splitlines()[-1] and "Traceback" not in shown


def run_python(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )


def test_help_names_its_options():
    done = run_python("-m", "mixlab.compare", "--help")
    assert done.returncode == 0 and "--baseline" in done.stdout


def test_comparing_imports_no_torch(tmp_path):
    sweep = quickstart(tmp_path, range(2))
    code = f"""import sys
from mixlab.compare import main
main([{str(sweep)!r}])
heavy = {{"torch", "pytorch_lightning", "hydra", "wandb", "timm"}} & set(sys.modules)
assert not heavy, heavy"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_hundred_blocks_are_compared_at_once(tmp_path):
    folders = []
    for data in range(25):
        for model in range(4):
            names = {"data.name": f"data{data}", "model.name": f"model{model}"}
            arms = {
                "none": (config(None, **names), 0.9),
                "mixup": (config(mixing("Mixup"), **names), 0.91),
            }
            folders += write_arms(tmp_path, arms, range(2), epochs=2)
    sweep = write_sweep(tmp_path, "many", folders)
    done = run_python("-m", "mixlab.compare", str(sweep))
    assert done.returncode == 0, done.stderr
    assert "400 finished" in done.stdout
