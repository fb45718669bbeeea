"""Make docs/methods.md, the cards of the mixing methods, and the pictures that are missing.

    python scripts/method_cards.py              the page, and pictures of what has none
    python scripts/method_cards.py --redraw     the page, and all pictures; a minute or two

What a card says comes from the comment at the top of its file in configs/mixing/, the docstring of
its method's class, its composed settings, and docs/methods_costs.json, which two benchmarks write.
A table of what the methods gain is added where there is a docs/methods_claim.csv: the report.csv
of `mixlab-compare`.
"""

import argparse
import csv
import json
from inspect import cleandoc
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from card_costs import TABLE_WORDS, cost_words, index, largest, measured_words, peers
from card_words import (
    COMMAND,
    CONFIGS,
    NEEDED,
    filled,
    found_of,
    header,
    is_in_network,
    marked,
    network_words,
    parts_of,
    settings,
    taken,
)
from hydra.utils import get_class
from omegaconf import DictConfig

from mixlab.config.build import build
from mixlab.previews.batches import shipped_configs
from mixlab.previews.cards import briefly_trained, card_of
from mixlab.reporting.formatting import p_value, unit

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURES = DOCS / "methods.md", DOCS / "pictures" / "methods"
COSTS, CLAIM = DOCS / "methods_costs.json", DOCS / "methods_claim.csv"
FAMILIES = (
    "Any rows",
    "Images",
    "With saliency maps",
    "In the network",
    "Combinations and recipes",
)
INTRO = """\
Every file of `configs/mixing/`, chosen as `mixing=NAME`, except `mixing=none`. In the formulas x, y
are a row and its label, x', y' those of its partner, h features; lam is the row's own share where
nothing else is said. A label is the sum of its sources' labels by the weights given here. Every row
is mixed (`mixing.probability=1`) unless you set less. Shapes are (R, C, H, W): rows, channels,
height, width. `Defaults` are the settings of the file, with the class as in Python: `from
mixlab.mixing.methods import Mixup`.

Start with `mixup` and `cutmix`: they are cheap, and most is known about them. Methods mix more or
less than each other by default; `mixing.strength=0.2` compares them at equal strength."""
NOT_HERE = """\
Of the methods that learn their masks or search for them, `automix` is here and three are not. In
Co-Mixup ([arXiv:2102.03065](https://arxiv.org/abs/2102.03065)) a row has parts of several images,
and a joint submodular optimization over the whole batch finds them, and with them the label
weights. SuperMix ([arXiv:2003.05034](https://arxiv.org/abs/2003.05034)) searches the masks of each
batch with the gradients of a separate, trained teacher. SAMix
([arXiv:2111.15454](https://arxiv.org/abs/2111.15454)) is AutoMix's successor."""
PICTURE_WORDS = """\
Each picture has two rows, what the method makes of the first, framed, with its label, and the mask.
It is the first of up to 40 draws with fixed seeds in which the row keeps 0.52 to 0.72 of itself, or
the nearest to that. The methods with saliency maps look at a `resnet20` after 30 steps of training
on shifted copies of the two photographs, and AutoMix's mix block learned for 100 more; where
features are mixed, those of its last stage are shown, as the mean over channels. The photographs,
cut and made smaller, are china.jpg by danielbuechele and flower.jpg by vultilion, from
scikit-learn, both [CC BY 2.0](https://creativecommons.org/licenses/by/2.0/)."""
CLAIM_CONFIG = CONFIGS.parent / "claim" / "methods.yaml"
CLAIM_TITLE = "## Comparison of the methods"
CLAIM_INTRO = """\
`mixlab-train -m experiment=fashion_mnist_few claim=methods` trains these arms again. Methods that
need a transformer or other rows, `mixup_many` and recipes are not among them; `cutout` and
`attentivemix` do not reach a strength of 0.2.

The table has the largest gain first, with 95 % intervals of the difference. Arms whose method has
changed since the sweep were trained again at the same seeds, where no mixing gave the same numbers.
If the intervals of two methods overlap, the table does not clearly order them. An arm has the name
of its `mixing=`. With `strength=0.2` (`mixing.strength=0.2`), a fifth of a row is mixed on average;
without it, every row is mixed, with the alpha of the paper."""
WHERE_IS_CLAIM = """\
The [comparison of the methods](#comparison-of-the-methods), trained on one task, is at the end of
this page."""
FOUND_IN_PAGE = ("; all arms in docs/methods.md.", ". The table below has all arms.")
CONFIG_OF_ARM = {"one_of": "randommix"}  # the only arm of its class


def page(configs: dict[str, DictConfig], costs: dict[str, Any], claim: Path = CLAIM) -> str:
    """The whole page.

    Args:
        configs: by name, as composed.
        costs: of `COSTS`.
        claim: a report.csv, or no file.
    """
    made = f"<!-- made by `{COMMAND}`: change its inputs, not this page -->"
    parts = ["# Mixing methods", made, INTRO]
    families = {name: family(name, cfg.mixing) for name, cfg in configs.items()}
    grouped = {title: [n for n in configs if families[n] == title] for title in FAMILIES}
    parts += [TABLE_WORDS, index(grouped, costs), *([WHERE_IS_CLAIM] if claim.exists() else [])]
    parts += [
        NOT_HERE,
        "## What the figures mean",
        measured_words(costs),
        peers(costs),
        PICTURE_WORDS,
    ]
    for title, names in grouped.items():
        parts += [f"## {title}", *[card(name, configs[name].mixing, costs) for name in names]]
    if claim.exists():
        parts += [claim_section(claim.read_text())]
    return "\n\n".join(parts) + "\n"


def family(name: str, node: DictConfig) -> str:
    """Which part of the page a card is in."""
    method, kind = build(node.method, allow=()), get_class(node.method._target_)
    if is_in_network(node):
        return "In the network"
    if hasattr(method, "saliency"):
        return "With saliency maps"
    if kind.__module__.rpartition(".")[2] != name or hasattr(method, "methods"):
        return "Combinations and recipes"
    return "Images" if not any("rows" in words for words in taken(method)) else "Any rows"


def card(name: str, node: DictConfig, costs: dict[str, Any]) -> str:
    """The card of configs/mixing/<name>.yaml."""
    kind, method = get_class(node.method._target_), build(node.method, allow=())
    said, first = parts_of(kind), cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    reach = largest(name, costs)
    lines = {
        "Rows": rows_words(first, taken(method)),
        **{word: said[word] for word in NEEDED},
        "Paper": said.get("Paper"),
        "Differs": said.get("Differs"),
        "Published": said.get("Published"),
        "Network": network_words(node, method),
        "Defaults": f"`{settings(node)}`",
        "Strength": f"the largest `mixing.strength` is {reach}." if reach != "-" else None,
        "Cost": cost_words(name, node, costs),
    }
    bullets = [filled(f"- **{word}:** {marked(text)}") for word, text in lines.items() if text]
    picture = f"![Two rows, and one of them under {name}](pictures/methods/{name}.png)"
    return "\n\n".join([f"### {name}", filled(marked(header(name))), picture, "\n".join(bullets)])


def rows_words(first: str, kinds: list[str]) -> str:
    """What a method mixes; of methods for images alone its first sentence says it."""
    is_said = len(kinds) == 1 and "images" in first
    return first if is_said else f"{first} It takes {'; '.join(kinds)}."


def claim_section(text: str) -> str:
    """The tables of a report.csv, the largest gain first."""
    rows = [row for row in csv.DictReader(text.splitlines()) if row["runs"] != "0"]
    found = filled(marked(found_of(CLAIM_CONFIG.read_text()).replace(*FOUND_IN_PAGE)))
    parts = ["<!-- claim: from docs/methods_claim.csv -->", CLAIM_TITLE, found, CLAIM_INTRO]
    for title, block in groupby(rows, key=lambda row: row["block"]):
        parts += [f"**{title}**" if title else "", claim_table(list(block))]
    return "\n\n".join([*filter(None, parts), "<!-- end of claim -->"])


def claim_table(rows: list[dict[str, str]]) -> str:
    """A line for each arm and checkpoint."""
    first, of = rows[0], unit(rows[0]["metric"])
    lines = [
        f"| arm | checkpoint | runs | {first['metric']}, {of.name} | "
        f"difference to {first['baseline']}, {of.of_difference} | p by Holm |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in sorted(rows, key=lambda row: -float(row["difference"] or "inf")):
        mean, sd, change, low, high, p = (
            float(row[key] or "nan")
            for key in ("mean", "sd", "difference", "low", "high", "p_holm")
        )
        gain = of.difference(change, low, high) if row["difference"] else "-"
        arm, spread = config_named(row["arm"]), of.spread(mean, sd)
        cells = arm, row["checkpoint"], row["runs"], spread, gain, p_value(p)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def config_named(arm: str) -> str:
    """An arm's name with that of its configuration: `vh_mixup strength=0.2`."""
    method, *rest = arm.split(" ")
    return " ".join([CONFIG_OF_ARM.get(method, method), *rest])


def draw(configs: dict[str, DictConfig], redraw: bool) -> None:
    """The pictures of all configurations, or of those that have none; others are removed."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in PICTURES.glob("*.png"):
        if redraw or path.stem not in configs:
            path.unlink()
    wanted = [name for name in configs if not (PICTURES / f"{name}.png").exists()]
    if not wanted:
        return
    torch.set_num_threads(1)
    network = briefly_trained(configs[wanted[0]])
    for name in wanted:
        card_of(configs[name].mixing, network).save(PICTURES / f"{name}.png", optimize=True)


def composed() -> dict[str, DictConfig]:
    """The configurations of `mixlab-preview`, with the network that pictures are made with."""
    return shipped_configs("preview", "model=resnet20")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--redraw", action="store_true", help="draw all pictures again")
    configs = composed()
    PAGE.write_text(page(configs, json.loads(COSTS.read_text())))
    draw(configs, parser.parse_args().redraw)


if __name__ == "__main__":
    main()
