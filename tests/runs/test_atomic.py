"""Small files are whole or not there at all."""

import math
from pathlib import Path

import pytest

from mixlab.runs.atomic import finite, read_json, write_json, write_text


def test_written_and_read(tmp_path: Path) -> None:
    record = {"a": 1, "b": [0.1, None, "ü"], "c": {"d": True}}
    write_json(tmp_path / "run.json", record)
    assert read_json(tmp_path / "run.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.json"
    write_text(file, "old")
    monkeypatch.setattr("mixlab.runs.atomic.os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_text(file, "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_reader_has_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_text(file, "old and longer")
    with file.open() as opened:
        write_text(file, "new")
        assert (opened.read(), file.read_text()) == ("old and longer", "new")


def test_json_knows_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"loss": math.nan, "rows": [math.inf, 1.0], 3: (-math.inf,)})
    assert read_json(tmp_path / "x.json") == {"loss": None, "rows": [None, 1.0], "3": [None]}
    assert finite({"a": 1}) == {"a": 1}


def test_no_file_no_record(tmp_path: Path) -> None:
    assert read_json(tmp_path / "run.json") == {}


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "fin')
    with pytest.raises(ValueError, match=r"run\.json is not readable JSON .*; move it away"):
        read_json(tmp_path / "run.json")
