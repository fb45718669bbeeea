"""The command: what it prints, what it writes, and how it fails."""

import csv
import os
import subprocess
import sys

import pytest

from helpers.written_runs import config, mixing, quickstart, write_arms, write_run, write_sweep
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
        (["SWEEP", "--baseline", "mixpu"], "no arm is called mixpu; there are cutmix, mixup, none"),
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
def test_a_thousand_runs_take_less_than_a_minute(tmp_path):
    folders = []
    for data in range(25):
        for model in range(4):
            names = {"data.name": f"data{data}", "model.name": f"model{model}"}
            arms = {
                "none": (config(None, **names), 0.9),
                "mixup": (config(mixing("Mixup"), **names), 0.91),
            }
            folders += write_arms(tmp_path, arms, range(5), epochs=20)
    sweep = write_sweep(tmp_path, "many", folders)
    done = run_python("-m", "mixlab.compare", str(sweep))
    assert done.returncode == 0, done.stderr
    assert "1000 finished" in done.stdout
