"""docs/methods.md is what its inputs make, and every method and configuration has a card."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import card_costs
import card_words
import method_cards
import numpy as np
import pytest
from hydra.utils import get_class
from omegaconf import DictConfig
from PIL import Image

from mixlab.config.build import build
from mixlab.errors import UserError
from mixlab.mixing import methods
from mixlab.mixing.binding import needs_network
from mixlab.mixing.methods import CutMix, OneOf, published
from mixlab.mixing.strength import mixed_share
from mixlab.previews.cards import briefly_trained, card_of
from mixlab.reporting.export import CSV_COLUMNS

RUN = f"run `{card_words.COMMAND}` and commit what it writes"
ARXIV = re.compile(r"arxiv\.org/abs/(\d+\.\d+)")
CONFIGS = {path.stem for path in card_words.CONFIGS.glob("[!_]*.yaml")} - {"none"}
NO_CLAIM = Path("no such file")


@pytest.fixture(scope="module")
def configs() -> dict[str, DictConfig]:
    return method_cards.composed()


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    return json.loads(method_cards.COSTS.read_text())


def test_the_page_is_what_its_inputs_make(configs: dict, costs: dict) -> None:
    assert method_cards.PAGE.read_text() == method_cards.page(configs, costs), f"docs differ; {RUN}"


def test_every_configuration_has_a_card_and_a_picture(configs: dict) -> None:
    page = method_cards.PAGE.read_text()
    cards = re.findall(r"^### (\S+)$", page, re.M)
    indexed = re.findall(r"^\| \[(\S+)\]\(#", page, re.M)
    assert set(cards) == CONFIGS == set(configs), f"a card for each file of configs/mixing; {RUN}"
    assert len(cards) == len(CONFIGS) and sorted(indexed) == sorted(cards)
    shown = re.findall(r"\(pictures/methods/(\S+)\.png\)", page)
    drawn = {path.stem for path in method_cards.PICTURES.iterdir()}
    assert shown == cards and set(shown) == drawn, f"a picture for each card; {RUN}"
    assert sum(path.stat().st_size for path in method_cards.PICTURES.iterdir()) < 600_000
    assert f"`{card_words.COMMAND}` makes this page again" in page


def test_every_method_has_a_configuration(configs: dict) -> None:
    """So that it has a card: of its own, or as a part of another."""
    found: set[str] = set()

    def note(node: Any) -> None:
        found.add(node._target_.rpartition(".")[2])
        for part in [*node.get("methods", []), *([node.method] if "method" in node else [])]:
            note(part)

    for cfg in configs.values():
        note(cfg.mixing.method)
    known = {*methods.__all__, *published.__all__} - {"Method"}
    assert not known - found, "give each a file in configs/mixing/"


def test_a_new_configuration_changes_the_page(configs: dict, costs: dict) -> None:
    few = {name: configs[name] for name in ("mixup", "cutmix")}
    page = method_cards.page(few, costs, NO_CLAIM)
    assert "### cutmix\n" in page and "[cutmix](#cutmix)" in page
    one = method_cards.page({"mixup": configs["mixup"]}, costs, NO_CLAIM)
    assert "### cutmix\n" not in one and "[cutmix](#cutmix)" not in one
    new = card_costs.cost_words("zz_mine", configs["mixup"].mixing, costs)
    assert new == "not measured yet."


def test_a_configuration_cites_what_its_class_cites(configs: dict) -> None:
    compared = 0
    for name, cfg in configs.items():
        paper = card_words.parts_of(get_class(cfg.mixing.method._target_)).get("Paper", "")
        if cited := ARXIV.findall(paper):
            compared += 1
            assert set(ARXIV.findall(card_words.header(name))) <= set(cited), name
    assert compared > 25


def test_a_class_without_the_parts_of_a_card_is_refused() -> None:
    @dataclass(frozen=True)
    class Half:
        """Mixes halves.

        Draws: nothing.
        """

    with pytest.raises(UserError, match="Half does not say Label and Avoid; add 'Label: ...'"):
        card_words.parts_of(Half)


def test_the_parts_of_a_docstring() -> None:
    found = card_words.parts_of(CutMix)
    assert list(found) == ["Paper", "Draws", "Label", "Published", "Avoid"]
    assert found["Paper"].endswith("https://arxiv.org/abs/1905.04899.")
    assert found["Draws"].startswith("lam ~ Beta(alpha, alpha); ") and "\n" not in found["Draws"]


def test_what_differs_from_the_paper_is_on_the_card(configs: dict, costs: dict) -> None:
    for name in ("alignmix", "attentivemix", "automix", "cut_thumbnail", "guidedmixup",
                 "manifold_mixup", "patchup_hard", "patchup_soft", "point_mixup", "puzzlemix",
                 "resizemix", "saliencymix", "snapmix", "stackmix", "tokenmix",
                 "transmix"):  # fmt: skip
        assert "\n- **Differs:** " in method_cards.card(name, configs[name].mixing, costs), name


def test_rows_are_those_that_a_method_takes() -> None:
    images, signals, tables = card_words.ROWS
    assert card_words.taken(methods.Mixup(1.0)) == [images, signals, tables]
    assert card_words.taken(methods.SignalCutMix(1.0)) == [images, signals]
    assert card_words.taken(methods.PointMixup(1.0)) == [signals]
    assert card_words.taken(CutMix(1.0)) == card_words.taken(methods.SnapMix()) == [images]
    assert card_words.taken(OneOf([methods.Mixup(1.0), CutMix(1.0)], per_row=False)) == [images]


def test_defaults_are_the_composed_ones(configs: dict) -> None:
    assert card_words.settings(configs["cutmix"].mixing) == "CutMix(alpha=1.0, per_row=True)"
    found = card_words.settings(configs["deit"].mixing)
    assert found.startswith(
        "OneOf(methods=[Mixup(alpha=0.8, per_row=False), CutMix(alpha=1.0, per_"
    )
    assert found.endswith('per_row=False) mixing.partners="reverse"')
    assert card_words.settings(configs["transmix"].mixing).endswith(") mixing.attention=1.0")


def test_what_is_written_is_shown_as_it_is() -> None:
    found = card_words.marked("x~ = lam * x (https://arxiv.org/abs/1710.09412) `a * b`.")
    link = "[arXiv:1710.09412](https://arxiv.org/abs/1710.09412)"
    assert found == f"x~ = lam \\* x ({link}) `a * b`."
    keys = card_words.marked("(mixing.a._b_=x.Y mixing.gate=batch), alpha=[0.1,1]; k = 2, d=Map().")
    assert keys == "(`mixing.a._b_=x.Y mixing.gate=batch`), `alpha=[0.1,1]`; k = 2, `d=Map()`."
    assert card_words.marked("https://x.org/a?b_c=d_e&f=g") == "<https://x.org/a?b_c=d_e&f=g>"
    lines = card_words.filled("- " + "word and - or + word 3. " * 20).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(re.match(r" *([-+]|\d+\.) ", line) for line in lines[1:])


def test_no_digits_are_shown_that_were_not_measured(configs: dict, costs: dict) -> None:
    times = {0.14: "0.14", 6.0: "6.0", 9.9: "9.9", 46.0: "46", 170.0: "170", 7: "7"}
    assert [card_costs.figure(value) for value in times] == [*times.values()]
    copies = {1.96: "2.0", 9.94: "9.9", 21.1: "21", 3595.1: "3595"}
    assert [card_costs.copies_of(value) for value in copies] == [*copies.values()]
    page = method_cards.page(configs, costs, NO_CLAIM)
    assert not re.findall(r"\d\d\.\d+ (?:ms|copies)\b|\| \d\d+\.\d+ \|", page)


def test_a_table_is_explained_before_it_comes(configs: dict, costs: dict) -> None:
    page = method_cards.page(configs, costs, NO_CLAIM)
    before, _, rest = page.partition("| `mixing=` |")
    headings = [word.strip() for word in rest.split("\n", 1)[0].split("|")[1:-1]]
    assert headings == ["32 px", "224 px", "strength"]
    assert all(f"{word} " in before for word in (*headings, "copies, as multiples"))


def test_a_card_says_what_a_method_looks_at(configs: dict) -> None:
    seen = {name: card_words.network_words(configs[name].mixing, build(configs[name].mixing.method,
            allow=())) for name in ("mixup", "saliencymix", "puzzlemix")}  # fmt: skip
    assert seen["mixup"] == "not needed."
    assert seen["saliencymix"].startswith("not needed: the map is of the picture alone. ")
    assert seen["puzzlemix"].startswith("used. ")


SLOW_REACHES = {  # the others take a second together
    "attentivemix", "convnext", "cutmix_cifar10", "cutmix_three", "deit", "fmix", "gmix", "gridmix",
    "mixup_both_classes", "patchmix", "patchup_soft", "random_2x2", "randommix", "resizemix",
    "saliencymix", "sequence", "sequence_uniform", "snapmix", "tokenmix", "torchvision_references",
    "transmix", "vh_mixup",
}  # fmt: skip


def test_the_reach_on_record_is_that_of_the_code(configs: dict, costs: dict) -> None:
    recorded = costs["reach"]["methods"]
    for name in configs.keys() & recorded.keys() - SLOW_REACHES:
        row = (3, 64) if name == "point_mixup" else (3, 32, 32)
        found = mixed_share(build(configs[name].mixing.method), row)
        assert recorded[name] == pytest.approx(found, abs=1e-3), name
    measured = {name for name in configs if costs["costs"]["32"].get(name)}  # a new one is not
    assert len(measured) > 40 and set(costs["reach"]["methods"]) >= measured
    assert mixed_share(CutMix(1.0), (3, 16, 16)) == pytest.approx(0.280, rel=0.01)
    assert mixed_share(CutMix(1.0), (3, 32, 32), 1 / 64) == pytest.approx(0.296, rel=0.01)
    assert all(f" {each}" in card_costs.STRENGTH_WORDS for each in ("0.280", "0.296"))


def test_an_arm_of_the_comparison_has_the_name_of_a_configuration() -> None:
    section = method_cards.PAGE.read_text().partition("<!-- claim:")[2]
    named = re.findall(r"^\| (\w+)(?: strength=0.2)? \| best", section, re.M)
    assert {"patchup_soft", "vh_mixup"} < {*named} <= {*CONFIGS, "none"}
    assert "one_of" not in named and "docs/methods.md." not in section


def test_what_the_methods_gain_is_there_once_it_is_known(
    configs: dict, costs: dict, tmp_path: Path
) -> None:
    few = {"cutmix": configs["cutmix"]}
    assert method_cards.CLAIM_TITLE not in method_cards.page(few, costs, tmp_path / "none.csv")
    rows = [
        {"arm": "none", "mean": "0.9", "sd": "0.01"},
        {"arm": "cutmix", "mean": "0.91", "sd": "0.01", "difference": "0.01", "low": "-0.01",
         "high": "0.03", "p_holm": "0.25"},
        {"arm": "mixup", "mean": "0.93", "sd": "0.02", "difference": "0.03", "low": "0.01",
         "high": "0.05", "p_holm": "0.0001"},
    ]  # fmt: skip
    shared = {"baseline": "none", "checkpoint": "best", "metric": "test/accuracy", "runs": "6"}
    lines = [",".join({**shared, **row}.get(key, "") for key in CSV_COLUMNS) for row in rows]
    file = tmp_path / "claim.csv"
    file.write_text("\n".join([",".join(CSV_COLUMNS), *lines]) + "\n")
    page = method_cards.page(few, costs, file)
    section = page.partition("<!-- claim:")[2].partition("<!-- end of claim -->")[0]
    assert method_cards.CLAIM_TITLE in section
    assert re.findall(r"^\| (\w+) \| best", section, re.M) == ["none", "mixup", "cutmix"]
    assert "| mixup | best | 6 | 93.00 ± 2.00 | +3.00 [+1.00, +5.00] | <0.001 |" in section


@pytest.mark.slow
def test_the_pictures_are_what_the_code_draws(configs: dict) -> None:
    """All but those of a trained network, whose last bits depend on the machine; one is drawn."""
    network = briefly_trained(configs["mixup"])
    compared = 0
    for name, cfg in configs.items():
        in_network = card_words.is_in_network(cfg.mixing)
        looks = in_network or needs_network(build(cfg.mixing.method, allow=()))
        if looks and name != "saliencymix":
            continue
        drawn = card_of(cfg.mixing, network).convert("RGB")
        with Image.open(method_cards.PICTURES / f"{name}.png") as found:
            assert found.size == drawn.size, name
            same = np.array_equal(np.asarray(found.convert("RGB")), np.asarray(drawn))
        compared += not looks
        assert looks or same, f"{name}: run `{card_words.COMMAND} --redraw`"
    assert compared > 25
