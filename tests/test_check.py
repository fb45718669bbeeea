"""`mixlab-check`: what keeps the contract passes, and each way to break it is named."""

import os
import pickle
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.mixing_cases import METHODS
from mixlab.check import check_is_whole, lines, main, method_of, setting
from mixlab.contract import CHECKS, examine
from mixlab.errors import UserError
from mixlab.mixing import (
    Blend,
    Boxes,
    CutMix,
    FMix,
    HMix,
    Method,
    Mixup,
    Mosaic,
    OneOf,
    PatchMix,
    ResizeMix,
    Ricap,
    Sequence,
    SmoothMix,
)
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.methods import (
    AttentiveMix,
    AutoMix,
    GuidedMixup,
    PuzzleMix,
    SaliencyMix,
    SnapMix,
)
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Half:
    """Half of each of two rows, side by side; `broken` names what is wrong with it."""

    broken: str = ""
    label_differs = None

    @property
    def num_partners(self) -> Any:
        return "one" if self.broken == "attributes" else 1

    def __call__(self, images: Any, targets: Any, rng: Any, partners: Any = None) -> Any:
        broken = self.broken
        if broken == "own partners":
            partners = None
        if broken == "partners":
            partners = rng.permutation(len(images))[: None if partners is None else len(partners)]
        if broken == "any batch":
            raise KeyError("lam")
        if broken == "bits" and images.itemsize == 2:
            raise TypeError("no half")
        if broken == "one row" and len(images) == 1:
            raise IndexError("no other row")
        if broken == "guests" and partners is not None and len(partners) < len(images):
            partners = np.arange(len(images))
        partner = partner_columns(partners, images, rng)[:, 0]
        height, width = images.shape[-2:]
        height, width = (width, height) if broken == "sizes" else (height, width)
        mask = torch.zeros(len(partner), 2, height, width)
        edge = int(rng.integers(1, width))
        if broken == "determinism":
            edge = int(np.random.default_rng().integers(1, width))
        if broken == "global generators":
            edge = random.randint(1, width - 1)
        mask[:, 0, :, :edge] = 1
        mask[:, 1, :, edge:] = 1.5 if broken == "masks" else 1
        if broken == "hole":
            mask[:, :, 0] = 0
        if broken == "string mask":
            mask = "half"
        if broken == "nan":
            mask[:, 0, 0, 0] = torch.nan
        if broken == "too much":
            mask = mask * 1.4
        if broken == "torch's":
            own = torch.rand(())
            mask[:, 0, 0], mask[:, 1, 0] = own, 1 - own
        if broken == "inputs":
            images[0] = 0
        if broken == "dtypes" and images.dtype == torch.float16:
            mask = mask / 0
        if broken == "speed" and len(images) == 64:
            time.sleep(0.2)
        share = torch.tensor([[0.9, 0.1]]) if broken == "shares" else None
        if broken == "torch":
            share = torch.rand(len(partner), 2, generator=rng)
        if broken == "one share":
            share = torch.full((len(partner),), 0.5)
        partner = {"int": 3, "list": [*partner], "float": partner / 1}.get(broken, partner)
        blend = Blend.pair(partner, mask, share)
        if broken == "float source":
            return Blend(blend.source / 1, blend.mask)
        if broken == "tuple":
            return blend.source, blend.mask
        if broken == "too far":
            return Blend(blend.source + torch.tensor([0, len(images)]), blend.mask)
        if broken == "sources":
            return Blend(blend.source.flip(1), blend.mask, blend.share)
        return "a blend" if broken == "kind" else blend

    def __reduce__(self) -> Any:
        if self.broken == "pickling":
            raise TypeError("cannot pickle an open file")
        return super().__reduce__()


def failed(method: Method, *leave_out: str) -> dict[str, str]:
    return {each.name: each.said for each in examine(method, leave_out) if not each.passed}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_ours_keeps_the_contract(name: str) -> None:
    assert failed(METHODS[name], "speed") == {}, "benchmarks tell what methods cost"


def test_a_good_method_passes() -> None:
    assert failed(Half()) == {} and len(examine(Half())) == len(CHECKS) == 14


SAID = {
    "attributes": "num_partners is 'one'; make it a whole number from 0",
    "masks": "masks sum to 1 to 1.5 at a pixel; divide them by their sum",
    "shares": "labels row 0 with shares 0.9, 0.1, but its masks average to",
    "sources": "column 0 of source is [",
    "determinism": "differ; draw from rng alone",  # at some seed: two draws may agree
    "global generators": "draws from the global generator of random; use rng",
    "inputs": "writes into images; clone before writing",
    "dtypes": "float16 became nan or inf; compute in float32",
    "sizes": "take height and width from images.shape[-2:], in that order",
    "one row": "); let a row without another be its own partner",
    "guests": "8 rows of partners for 12 images gave 12 rows",
    "partners": "sources are not among the 1 given partners of a row; use the columns",
    "pickling": "); define the class in a module",
    "speed": "copies of the batch, more than 500; replace loops over rows or pixels",
}


@pytest.mark.parametrize("name", CHECKS)
def test_each_way_to_break_it_is_named(name: str) -> None:
    found = failed(Half(name))
    assert SAID[name] in found[name]
    also = {"masks": {"shares"}, "sources": {"shares"}, "determinism": {"pickling"},
            "attributes": set(CHECKS),
            "sizes": {"shares", "dtypes", "one row", "guests"},
            "global generators": {"determinism", "pickling"}}  # fmt: skip
    assert set(found) <= {name} | also.get(name, set())


@dataclass(frozen=True)
class Swapped:
    """A method whose label has the shares of its first two sources exchanged."""

    method: Method

    label_differs = None

    @property
    def num_partners(self) -> int:
        return self.method.num_partners

    def __call__(self, images: Any, targets: Any, rng: Any, partners: Any = None) -> Blend:
        blend = self.method(images, targets, rng, partners)
        order = [*range(blend.num_sources)]
        return replace(blend, share=blend.share[:, [*order[1::-1], *order[2:]]])


@pytest.mark.parametrize(
    "method",
    [Mixup(1.0), CutMix(1.0), HMix(1.0), PatchMix(1.0), SmoothMix(), ResizeMix(), Ricap(1.0),
     Mosaic(), Sequence([CutMix(1.0), CutMix(1.0)]), Sequence([ResizeMix(), CutMix(1.0)]),
     Sequence([Ricap(1.0), Mixup(1.0)]), OneOf([CutMix(1.0), ResizeMix(), FMix(1.0)])],
)  # fmt: skip
def test_a_label_of_the_wrong_row_is_found_whatever_the_mask(method: Method) -> None:
    said = failed(Swapped(method), "speed")
    assert set(said) == {"shares"} and "leave share out" in said["shares"]


def test_labels_beside_a_resized_partner_are_those_of_the_mask() -> None:
    """Masks of a half and labels of 0.9 and 0.1, of a partner that is seen enlarged."""

    @dataclass(frozen=True)
    class Enlarged(Half):
        def __call__(self, images: Any, targets: Any, rng: Any, partners: Any = None) -> Blend:
            source = super().__call__(images, targets, rng, partners).source
            mask = torch.full((1, 2, *images.shape[-2:]), 0.5)
            warp = torch.eye(2, 3).repeat(len(source), 2, 1, 1)
            warp[:, 1, 0, 0] = 0.5
            return Blend(source, mask, torch.tensor([[0.9, 0.1]]), warp)

    said = failed(Enlarged(), "speed", "pickling")
    assert set(said) == {"shares"}
    assert "labels row 0 with shares 0.9, 0.1, but its masks average to 0.5, 0.5" in said["shares"]


def test_what_is_seen_is_measured() -> None:
    """Edges in the wrong order: the box has an area, and nothing of it is painted."""

    @dataclass(frozen=True)
    class TurnedBoxes(Half):
        def __call__(self, images: Any, targets: Any, rng: Any, partners: Any = None) -> Blend:
            partner = partner_columns(partners, images, rng)[:, 0]
            height, width = images.shape[-2:]
            edges = torch.tensor([[height, height // 2, width, 0]])
            return Blend.pair(partner, Boxes(edges, OWN_OF_TWO, height, width))

    said = failed(TurnedBoxes(), "speed", "pickling")
    assert set(said) == {"shares"}
    assert "labels row 0 with 0.5 of row 0, of which its picture shows 1; leave" in said["shares"]


def test_what_is_no_blend_fails_every_check_of_a_blend() -> None:
    found = failed(Half("kind"))
    assert "returned str; return a mixlab.mixing.Blend" in found["masks"] and len(found) > 10


def test_checks_that_fail_for_one_reason_share_a_line() -> None:
    said = lines(examine(Half("kind")))
    failures = [line for line in said if line.startswith("FAIL")]
    assert failures[0].startswith("FAIL  masks, shares, sources, determinism, global generators")
    assert len(failures) <= 3
    assert [line for line in said if line.startswith("pass")][0].startswith("pass  attributes: ")


def test_a_method_that_looks_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlab.contract.SLOW", 0)
    for method in (SaliencyMix(1.0), OneOf([Half(), SaliencyMix(1.0)])):
        [found] = [each for each in examine(method, {*CHECKS} - {"speed"})]
        assert found.passed and found.said.endswith("pictures or the network may be slow")
    assert "speed" in failed(OneOf([Half()]))


def failing_lines(method: Method) -> list[str]:
    return [line for line in lines(examine(method, ["speed"])) if line.startswith("FAIL")]


def test_shares_without_sources_are_one_line() -> None:
    (said,) = failing_lines(Half("one share"))  # though a batch of one row has other numbers
    assert said.startswith("FAIL  masks, ") and "one row" in said
    assert "share must be (rows, sources), here (8 or 1, 2), got (8,); give a column" in said


def test_the_remedy_is_that_of_the_reason() -> None:
    """Pictures that are not square fail with 16 bits, too, and that is not for want of bits."""
    (said,) = failing_lines(Half("sizes"))
    assert said.startswith("FAIL  shares, dtypes, sizes, one row, guests: raised RuntimeError: The")
    assert said.endswith("; take height and width from images.shape[-2:], in that order")
    (said,) = failing_lines(Half("one row"))
    assert said.endswith("; let a row without another be its own partner")
    (said,) = failing_lines(Half("bits"))
    assert said.startswith("FAIL  dtypes: raised TypeError: no half (test_check.py, line ")
    assert said.endswith("; compute in float32 or in the dtype of the images")


def test_what_fails_in_every_batch_is_not_put_down_to_its_size() -> None:
    (said,) = failing_lines(Half("any batch"))
    assert said.startswith("FAIL  masks, ") and " sizes, " in said
    assert "raised KeyError: 'lam' (test_check.py, line " in said
    assert said.endswith("); fix it there")
    (said,) = failing_lines(Half("string mask"))
    assert said.endswith("); fix it there") and "(test_check.py, line " in said


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("nan", "masks, shares, dtypes, sizes, one row: Half has masks that are not finite, nan"),
        ("too much", "masks, shares: masks sum to 1.4 at a pixel; divide them by their sum over "
                     "the sources"),
        ("torch's", "determinism, global generators, pickling: draws from the global generator of "
                    "torch; use rng"),
        ("tuple", "masks, shares, sources, determinism, global generators, dtypes, sizes, one row, "
                  "guests, partners, pickling: returned tuple; return a mixlab.mixing.Blend"),
        ("too far", "shares, sources, dtypes, sizes, one row, guests, partners: sources from 0 to "
                    "15 of 8 rows; number the rows from 0"),
        ("own partners", "guests, partners: sources are not among the 1 given partners of a row;"),
        ("hole", "masks, shares: masks sum to 0 to 1 at a pixel; set the mask of source 0 to 1 "
                 "where all of them are 0, then divide them by"),
        ("float source", "shares, sources, dtypes, sizes, one row, guests, partners: source "
                         "is of torch.float32; make it int64"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(broken: str, said: str) -> None:
    (line,) = failing_lines(Half(broken))
    assert line.startswith(f"FAIL  {said}")
    erases = broken == "hole"
    assert ("label_differs" in line) == erases, "it is for what is erased"


@pytest.mark.parametrize(
    ("broken", "got"), [("int", "int 3; give"), ("list", "list; give"), ("float", "float64; give")]
)
def test_partners_of_another_kind_are_told_the_right_one(broken: str, got: str) -> None:
    (line,) = failing_lines(Half(broken))
    assert f": partners must be a (B,) int64 array or tensor, got {got}" in line


@dataclass(frozen=True)
class TwoArguments(Half):
    def __call__(self, images: Any, targets: Any) -> Any:  # pyright: ignore
        return None


def test_another_signature_is_told_the_right_one() -> None:
    wrong: Any = TwoArguments()
    (said,) = failing_lines(wrong)
    assert said.endswith("; write def __call__(self, images, targets, rng, partners=None)")


def test_a_generator_of_numpys_is_not_torchs() -> None:
    (said,) = failing_lines(Half("torch"))
    assert "generator=numpy.random._generator.Generator) (test_check.py, line " in said
    assert said.endswith(
        "; rng is a numpy.random.Generator: draw with rng.random(...) and torch.from_numpy"
    )


@dataclass(frozen=True)
class Looks(Half):
    """Half, by the logits of a network; `net` is not a name that anything else knows."""

    net: Any = None

    def bind(self, network: Any) -> "Looks":
        return replace(self, net=network)

    def __call__(self, images: Any, targets: Any, rng: Any, partners: Any = None) -> Any:
        assert self.net(images).shape == (len(images), targets.shape[1])
        return super().__call__(images, targets, rng, partners)


@pytest.mark.parametrize(
    "method", [Looks(), SaliencyMix(), PuzzleMix(), SnapMix(), AttentiveMix(), GuidedMixup()]
)
def test_a_method_that_looks_is_given_a_network(method: Method) -> None:
    before = torch.get_rng_state()
    assert failed(method, "speed") == {}
    assert torch.equal(torch.get_rng_state(), before)


def test_a_method_that_a_callback_completes_is_not_examined(capsys: Any) -> None:
    assert run("mixlab.mixing.methods:TransMix", "alpha=1.0") == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "TransMix cannot be examined alone, as mixlab.callbacks.AttentionMixingC" in said.err
    with pytest.raises(UserError, match="^AutoMix cannot be examined alone"):
        check_is_whole(OneOf([Half(), AutoMix()]))


def test_an_exception_says_its_line() -> None:
    said = failed(Half("one row"))["one row"]
    number = Path(__file__).read_text().split('IndexError("no other row")')[0].count("\n") + 1
    assert said.startswith(f"raised IndexError: no other row (test_check.py, line {number}); let")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("alpha=0.5", 0.5), ("per_row=false", False), ("n=null", None), ("sizes=[1, 2]", [1, 2]),
     ("kind=soft", "soft"), ("kind=a=b", "a=b")],
)  # fmt: skip
def test_settings(word: str, expected: Any) -> None:
    assert setting(word) == (word.partition("=")[0], expected)


def run(*words: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_the_command(here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (here / "my_mix.py").write_text(
        "from mixlab.mixing import CutMix\n\n\nclass MyMix(CutMix):\n    pass\n\n\n"
        "class Writes(CutMix):\n    def __call__(self, images, targets, rng, partners=None):\n"
        "        images[0] = 0\n        return super().__call__(images, targets, rng, partners)\n"
        "\n\nready = MyMix(1.0)\n"
    )
    assert run("my_mix:MyMix", "alpha=0.5", "per_row=false") == 0
    said = capsys.readouterr().out
    assert "pass  masks: sum to 1\n" in said and "14 checks passed, 0 failed" in said
    assert run("my_mix:ready") == 0
    capsys.readouterr()
    assert run("my_mix:Writes", "alpha=1.0") == 1
    said = capsys.readouterr().out
    assert "FAIL  inputs: writes into images; clone" in said and "13 checks passed, 1 f" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mixlab.mixing"], "is written module:Class, got 'mixlab.mixing'; write my_mix:MyMix"),
        (["no_such_place:Mix"], "there is no module no_such_place; start in the folder"),
        (
            ["broken_mix:Mix"],
            "broken_mix is not Python: '(' was never closed (bro",
        ),
        (["mixlab.mixing:Mixpu"], "has no attribute 'Mixpu'; name a class that the module"),
        (
            ["mixlab.mixing:Mixup"],
            "Mixup needs alpha; write mixlab-check mixlab.mixing:Mixup alpha=...",
        ),
        (
            ["mixlab.mixing:Mixup", "alfa=1"],
            "Mixup has no setting alfa, but alpha, per_row; did you mean alpha?",
        ),
        (
            ["lacks_mix:Mix"],
            "raised ModuleNotFoundError: No module named 'no_such_library' (lacks_",
        ),
        (["lacks_mix:Mix"], "_library' (lacks_mix.py, line 2); install no_such_library"),
        (
            ["raises_mix:Mix"],
            "ZeroDivisionError: division by zero (raises_mix.py, line 1); correct",
        ),
        (["uses_mix:Mix"], "zero (uses_mix.py, line 2; raises_mix.py, line 1); correct"),
        (
            ["asks_mix:Mix"],
            "AttributeError: module 'math' has no attribute 'no' (asks_mix.py, line",
        ),
        (["mixlab.mixing:Mixup", "alpha"], "settings are written key=value, got 'alpha'"),
        (["mixlab.mixing:Mixup", "alpha=-1"], "alpha must be a number above 0, got -1"),
    ],
)
def test_a_slip_is_one_sentence(
    words: list[str], sentence: str, here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = {"broken": "Mix = (\n", "lacks": "\nimport no_such_library\n", "raises": "1 / 0\n",
             "uses": "\nimport raises_mix\n", "asks": "import math\nmath.no\n"}  # fmt: skip
    for name, text in files.items():
        (here / f"{name}_mix.py").write_text(text)
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_the_settings_are_optional(capsys: Any) -> None:
    assert run() == 2
    assert "arguments are required: target\n" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "my_mix.py").write_text(
        "class MyMix:\n    num_partners, label_differs = 0, None\n\n    def __call__(self, *_):\n"
        "        pass\n"
    )
    reads, writes = os.pipe()
    os.close(reads)
    words = [sys.executable, "-c", "from mixlab.check import main; main()", "my_mix:MyMix"]
    ended = subprocess.run(words, cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_help(capsys: Any) -> None:
    assert run("--help") == 0
    assert "mixlab-check my_mix:MyMix alpha=0.5" in capsys.readouterr().out


def test_a_method_that_is_found_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(method_of("mixlab.mixing:Mixup", {"alpha": 1.0}))).alpha == 1
