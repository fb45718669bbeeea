"""Checkpoints are whole or not there, sealed, and looked at before they are used."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.corrupt import DAMAGES
from mixlab.runs.checkpoints import Broken, load_checkpoint, newest, sealed
from mixlab.training.sealed_files import SealedFiles

STATE = {"weights": torch.arange(40.0), "plain": [1, {"two": "three"}]}
SEALED = bytes(sealed(STATE))


def save(folder: Path, number: int, name: str = "last.ckpt") -> None:
    SealedFiles().save_checkpoint({**STATE, "number": number}, folder / name)


def numbers(folder: Path) -> dict[str, int]:
    return {path.name: load_checkpoint(path)["number"] for path in sorted(folder.iterdir())}


@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    """Harmless it is in the mark alone, without which the file is a stranger's."""
    data = bytearray(SEALED)
    data[at] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.ckpt"
    path.write_bytes(data)
    if data[-71:-64] == b"sha256:":
        with pytest.raises(Broken, match="flipped.ckpt is broken: it differs from what was"):
            load_checkpoint(path)
    else:
        assert torch.equal(load_checkpoint(path)["weights"], STATE["weights"])


@pytest.mark.parametrize("size", [0, 1, len(SEALED) // 2, len(SEALED) - 90])
def test_a_file_that_was_cut_is_broken(tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.ckpt").write_bytes(SEALED[:size])
    with pytest.raises(Broken, match="cut.ckpt is broken: .*; existing=new archives the run"):
        load_checkpoint(tmp_path / "cut.ckpt")


def test_anybody_can_read_ours_and_we_what_others_saved(tmp_path: Path) -> None:
    (tmp_path / "ours.ckpt").write_bytes(SEALED)
    torch.save(STATE, tmp_path / "theirs.ckpt")
    ours = torch.load(tmp_path / "ours.ckpt", weights_only=True, mmap=True)
    for found in (ours, load_checkpoint(tmp_path / "theirs.ckpt")):
        assert torch.equal(found["weights"], STATE["weights"])
        assert found["plain"] == STATE["plain"]


def test_code_is_never_loaded(tmp_path: Path) -> None:
    torch.save({"call": print}, tmp_path / "last.ckpt")
    with pytest.raises(Broken, match="holds more than tensors and plain values"):
        SealedFiles().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    assert newest(tmp_path) == (None, "")
    for number in range(3):
        save(tmp_path, number)
        save(tmp_path, number, "best.ckpt")
    assert numbers(tmp_path) == {"best.ckpt": 2, "last.ckpt": 2, "previous.ckpt": 1}
    assert newest(tmp_path) == (tmp_path / "last.ckpt", "")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_death_at_any_moment_leaves_a_checkpoint(tmp_path: Path, call: str, nth: int) -> None:
    save(tmp_path, 0)
    save(tmp_path, 1)
    child = os.fork()
    if child == 0:
        calls, real = iter(range(9)), getattr(os, call)
        setattr(os, call, lambda *a: os._exit(7) if next(calls) == nth else real(*a))
        save(tmp_path, 2)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended == (0 if (call, nth) == ("fsync", 1) else 7), "it died where it should"
    path, wrong = newest(tmp_path)
    assert path is not None and load_checkpoint(path)["number"] == (1 if ended else 2) and not wrong


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_one_before_stands_in_for_a_broken_one(tmp_path: Path, damage: Any) -> None:
    save(tmp_path, 0)
    save(tmp_path, 1)
    damage(tmp_path / "last.ckpt")
    path, wrong = newest(tmp_path)
    assert path == tmp_path / "previous.ckpt" and "last.ckpt is broken: " in wrong
    damage(tmp_path / "previous.ckpt")
    with pytest.raises(ValueError, match="no checkpoint to resume from: .*last.*previous.*=new"):
        newest(tmp_path)
