"""The page: everything in one file, in order, and nothing in it that runs."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from PIL import Image

from helpers.hostile_names import IMAGE, SCRIPT, hostile_sweep
from helpers.written_runs import config, mixing, quickstart, write_arms, write_run
from mixlab.reporting import curves, html
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

VOID = {"meta", "br", "link", "hr", "input", "img"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read_page(path, command=("mixlab-compare", "logs"), **question):
    page = html.render(compare_runs(find([path]), Question(**question)), list(command))
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return page, reader, " ".join(" ".join(reader.words).split())


def test_the_quickstart_says_all_that_matters(tmp_path):
    html, reader, words = read_page(quickstart(tmp_path))
    for phrase in ("quickstart", "digits, cnn", "15 runs: 15 finished", "leans better",
                   "against none, n = 5: an estimate, not a claim",
                   "test accuracy, %", "chosen on validation data",
                   "AMD EPYC 7B13", "torch", "2.15.0", "mixlab-compare logs", "0123456789ab",
                   "mixing.method.alpha 1.0 0.2", "mixing.method.per_row true true"):  # fmt: skip
        assert phrase in words
    assert reader.tags.count("svg") == 6, "each figure for a desk and for a phone"
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == ["digits, cnn", "How to read this", "Runs", "Environment"]
    places = [
        html.index(part) for part in ('class="verdicts"', "<svg", 'class="results"', "val/loss")
    ]
    assert places == sorted(places)


def test_names_of_arms_have_room_for_their_words(tmp_path):
    """In every line the same column, as wide as the names need, up to 18 letters' heights."""
    html, _, _ = read_page(quickstart(tmp_path))
    assert re.search(r"ul\.verdicts \{[^}]*grid-template-columns: fit-content\(18rem\)", html)
    assert re.search(r"ul\.verdicts li \{[^}]*grid-template-columns: subgrid", html)


def test_the_page_needs_nothing_else(tmp_path):
    html, reader, _ = read_page(quickstart(tmp_path))
    assert not {"script", "link", "iframe", "object", "img"} & set(reader.tags)
    links = [value for name, value in reader.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert not re.findall(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_pictures_of_each_arm_are_in_the_page(tmp_path):
    sweep = quickstart(tmp_path, range(2))
    for seed in range(2):
        figures = next(tmp_path.glob(f"runs/*/*mixup*/seed-{seed}")) / "figures"
        figures.mkdir()
        Image.new("RGB", (40, 40), "red").save(figures / "mixed-epoch-0.png")
    _, reader, _ = read_page(sweep)
    assert reader.tags.count("img") == 1, "of the first run that has any"
    (source,) = [value for name, value in reader.attributes if name == "src"]
    assert source.startswith("data:image/jpeg;base64,")


def test_runs_are_linked_from_where_the_page_lies(tmp_path):
    sweep = quickstart(tmp_path, range(1))
    page = html.render(compare_runs(find([sweep])), ["mixlab-compare"], sweep)
    links = [unquote(link) for link in re.findall(r'href="([^"#]+)"', page)]
    assert links[-2:] == ["report.csv", "report.md"]
    assert {(sweep / link).resolve() for link in links[:-2]} == set(tmp_path.glob("runs/*/*/*"))


def test_nothing_stays_folded_in_print(tmp_path):
    css = read_page(quickstart(tmp_path, range(1)))[0]
    assert "details::details-content" in css[css.rindex("@media print") :]


def test_unkind_names_are_only_text(tmp_path):
    html, reader, words = read_page(hostile_sweep(tmp_path), command=["mixlab-compare", SCRIPT])
    assert not {"script", "img", "b"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "\x1b" not in html
    for phrase in (SCRIPT, IMAGE, "mixlab-train " + SCRIPT, "sweep <b>"):
        assert phrase in words


def test_the_overview_says_where_it_shows_what(tmp_path):
    page, _, words = read_page(quickstart(tmp_path, range(2)))
    for look, first, second in (("wide", "Left", "Right"), ("stacked", "Above", "Below")):
        assert f'<div class="{look}">{first}: every run; gray lines' in page
        assert f"{second}: the mean difference to the baseline over paired" in words
    assert "arm minus baseline" in words


def test_every_run_is_in_the_ledger(tmp_path):
    sweep = quickstart(tmp_path)
    write_run(tmp_path, config(mixing("Mixup", alpha=0.2)), 9, status="failed", error="out of luck")
    _, _, words = read_page(tmp_path)
    for folder in tmp_path.glob("runs/*/*/*"):
        assert words.count(str(folder.relative_to(tmp_path))) == 1
    assert "out of luck" in words and "16 runs: 15 finished, 1 failed" in words
    assert "1 of 6 runs failed or diverged" in words
    assert sweep.is_dir()


def test_without_validation_data_the_page_warns_of_training_curves(tmp_path):
    arms = {"none": (config(), 0.9), "mixup": (config(mixing("Mixup")), 0.91)}
    write_arms(tmp_path, arms, range(6), validation=False)
    _, _, words = read_page(tmp_path)
    assert "cannot be compared between arms" in words
    assert "nothing was chosen on validation data" in words
    assert "chosen on validation data (" not in words


@pytest.mark.parametrize("number", [6, 7])
def test_the_caption_says_whether_the_curves_have_bands(tmp_path, number):
    for alpha in range(1, number):
        write_run(tmp_path, config(mixing("Mixup", alpha=alpha)), 0)
    write_run(tmp_path, config(), 0)
    (block,) = (comparison := compare_runs(find([tmp_path]))).blocks
    figure = curves.draw_curves(block, comparison)
    has_bands = number == 6
    assert any(axes.collections for axes in figure.axes) == has_bands
    _, _, words = read_page(tmp_path)
    assert ("Mean over the finished runs; the band goes from the lowest" in words) == has_bands
    assert ("Mean over the finished runs. No bands are drawn" in words) != has_bands


def test_several_blocks_are_summed_up_and_linked(tmp_path):
    for data in ("digits", "cifar10"):
        write_run(tmp_path, config(None, **{"data.name": data}), 0)
        write_run(tmp_path, config(mixing("Mixup"), **{"data.name": data}), 0)
    html, reader, _ = read_page(tmp_path)
    assert [value for name, value in reader.attributes if name == "href"] == [
        "#block-0",
        "#block-1",
    ]
    assert 'id="block-1"' in html and "one pair" in html


@pytest.mark.parametrize("status", ["finished", "running", "failed"])
def test_a_single_run_has_a_page(tmp_path, status):
    _, _, words = read_page(write_run(tmp_path, config(), 0, status=status))
    assert f"1 run: 1 {status}" in words


def test_nothing_but_plans_has_a_page(tmp_path):
    sweep = quickstart(tmp_path / "a", range(1))
    for folder in (tmp_path / "a/runs").glob("*/*/*"):
        (folder / "run.json").unlink()
        (folder / "config.yaml").unlink()
    _, _, words = read_page(sweep)
    assert "3 runs: 3 planned" in words and "no config.yaml to tell the arm from" in words
    assert "paired by seed" not in words, "nothing to read in a table without figures"


def test_equivalence_is_explained(tmp_path):
    arms = {"none": (config(), 0.9), "mixup": (config(mixing("Mixup")), 0.9)}
    write_arms(tmp_path, arms, range(10), sd=0.0005)
    _, _, words = read_page(tmp_path, margin=0.01)
    assert "equivalent" in words and "within ±1.00 pp" in words
