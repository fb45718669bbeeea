"""What the command draws: batches as the training sees them, galleries, a user's own pictures."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from helpers.small_runs import Watch, composed, small, train_with, write_npz
from mixlab.callbacks import AttentionMixingCallback, HiddenMixingCallback, MixingCallback
from mixlab.config.keys import config_dir
from mixlab.mixing import Mixup, Ricap
from mixlab.mixing.methods import AttentiveMix, HardPatchUp, PointMixup, TransMix
from mixlab.pictures.captions import Line
from mixlab.pictures.parts import INKS
from mixlab.pictures.sheet import heading
from mixlab.preview import OF_SHOW, preview
from mixlab.previews.batches import batch_at, batch_of
from mixlab.previews.figures import SHOWS
from mixlab.previews.notes import AS_INPUT, BY_AREA, UNTRAINED
from mixlab.runs import run_folder
from mixlab.training.build import build_data
from mixlab.training.supervise import train


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "one_of"])
def test_any_batch_of_a_training_can_be_looked_at(tmp_path: Path, mixing: str) -> None:
    watch = Watch()
    train_with(small(tmp_path, f"mixing={mixing}", "augmentation=standard", seed=3), watch)
    cfg = composed(
        "data.image_size=16", f"mixing={mixing}", "augmentation=standard", config="preview"
    ).copy()
    cfg.seed, cfg.epoch, cfg.batch = 3, 1, 2
    seen = batch_at(cfg, build_data(cfg))
    (step,) = (step for step in watch.steps if step.address == (3, 0, 1, 2))
    assert torch.equal(seen.after.images, step.images)
    assert torch.equal(seen.after.targets, step.targets)
    assert not torch.equal(seen.before.images, seen.after.images)


@pytest.mark.parametrize("show", ["batch", "augmentation"])
def test_pictures_say_which_labels_are_wrong(monkeypatch: pytest.MonkeyPatch, show: str) -> None:
    seen: list[str] = []

    def line(texts: list[str], *rest: Any) -> Line:
        seen.extend(texts)
        return Line(texts, *rest)

    monkeypatch.setattr("mixlab.pictures.batch.Line", line)
    words = ("mixing=mixup", "augmentation=standard", "data.label_noise=0.5", "data.batch_size=12")
    cfg = composed(*words, config="preview").copy()
    SHOWS[show](cfg)
    batch = batch_of(cfg, build_data(cfg))
    cfg.data.label_noise = 0
    original = batch_of(cfg, build_data(cfg))
    pairs = zip(batch.targets.argmax(1).tolist(), original.targets.argmax(1).tolist(), strict=True)
    wrong = [(given, true) for given, true in pairs if given != true]
    assert 2 <= len(wrong) < 12
    for given, true in wrong:
        assert any(f"{given} (true {true})" in text for text in seen)
    assert any("(true" not in text for text in seen)


@pytest.fixture
def pictures(here: Path) -> list[str]:
    """red.png, green.png and blue.png of 40 rows and 60 columns; the last is a little larger."""
    for number, name in enumerate(("red", "green", "blue")):
        color = tuple(255 * (number == channel) for channel in range(3))
        size = (60, 40) if number < 2 else (90, 60)
        Image.new("RGB", size, color).save(here / f"{name}.png")
    return ["red.png", "green.png", "blue.png"]


def drawn(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG" and 100 < picture.width <= 1300
        return np.asarray(picture.convert("RGB"))


def has_color(page: np.ndarray, *color: float) -> bool:
    """Whether a patch of the page has a color, in [0, 1]."""
    close = np.abs(page / 255 - np.array(color)).max(2) < 0.01
    return int(close.sum()) > 500


def test_a_picture_in_the_folder_of_the_command(here: Path, command: Callable) -> None:
    write_npz(here / "mine.npz")
    said = command("preview", "data=npz", "data.path=mine.npz", "output=sub/cutmix.png")
    assert said.status == 0 and "batch 0 of epoch 0 of mine, before and after mixing" in said.out
    drawn(here / "sub" / "cutmix.png")
    assert {path.name for path in here.iterdir()} == {"mine.npz", "sub"}


def test_a_gallery_of_all_methods_and_of_the_users_own(here: Path, command: Callable) -> None:
    mine = here / "conf" / "mixing" / "zz_mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(
        "_target_: mixlab.callbacks.MixingCallback\nprobability: 1.0\nmethod:\n"
        "  _target_: mixlab.mixing.methods.Mixup\n  alpha: 7.0\n"
    )
    said = command("preview", "show=gallery", "count=3", "--config-dir=conf")
    assert said.status == 0, said.err
    of_mixlab = {path.stem for path in (config_dir() / "mixing").glob("[!_]*.yaml")}
    names = {*of_mixlab, "zz_mine"} - {"none"}
    fit = f"{len(names) - 1} methods (1 does not fit such rows)"  # point_mixup does not
    assert f"digits, under {fit}; as if in the input: alignmix, " in said.out
    assert len(of_mixlab) > 40
    drawn(here / "preview.png")


def test_a_method_that_looks_at_a_network(here: Path, command: Callable) -> None:
    """At the initial weights of model=, the same again and again, others with another seed."""
    pages = []
    for words in ([], [], ["model=cnn6"]):
        said = command("preview", "mixing=attentivemix", *words)
        assert said.status == 0 and "decided by a network before its training" in said.out
        pages.append(drawn(here / "preview.png"))
    assert np.array_equal(pages[0], pages[1])
    assert pages[0].shape != pages[2].shape or not np.array_equal(pages[0], pages[2])
    said = command("preview", "mixing=attentivemix", "mixing.method.saliency.layer=conv4")
    assert "saliency.layer=conv4 is no layer of CNN; it has 0, 1, 2, " in said.sentence
    assert "before its training" not in command("preview", "mixing=saliencymix").out


@pytest.fixture
def few_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gallery of a few methods: to compose the file of each takes seconds."""
    few = {
        "mixup": MixingCallback(Mixup(1.0)),
        "ricap": MixingCallback(Ricap(0.5)),
        "attentive": MixingCallback(AttentiveMix()),
        "points": HiddenMixingCallback(PointMixup(1.0)),
        "manifold": HiddenMixingCallback(Mixup(1.0)),
        "input": HiddenMixingCallback(Mixup(1.0), layers=["input"]),
        "patchup": HiddenMixingCallback(HardPatchUp(0.5)),
        "trans": AttentionMixingCallback(TransMix(1.0)),
    }
    monkeypatch.setattr("mixlab.previews.figures.shipped_callbacks", lambda cfg: few)


@pytest.fixture
def subtitles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pictures say below their titles."""
    seen: list[str] = []

    def noted(title: str, note: str, width: int) -> Image.Image:
        seen.append(note)
        return heading(title, note, width)

    monkeypatch.setattr("mixlab.previews.figures.heading", noted)
    return seen


def test_a_gallery_says_what_it_does_not_show(
    few_methods: None, subtitles: list[str], here: Path, command: Callable
) -> None:
    notes = f"; {UNTRAINED}: attentive; {AS_INPUT}: manifold, patchup; {BY_AREA}: trans"
    said = command("preview", "show=gallery")
    fit = "7 methods (1 does not fit such rows)"
    assert f"batch 0 of epoch 0 of digits, under {fit}{notes}\n" in said.out
    left_out = "; left out (needs rows x coordinates x points): points"
    assert subtitles == [f"batch 0 of epoch 0 of digits{notes}{left_out}"]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("mixing=transmix", f"; {BY_AREA}"),
        ("mixing=tokenmix mixing.method.grid=8", f"; {BY_AREA}"),
        ("mixing=attentivemix", f"; {UNTRAINED}"),
        ("mixing=manifold_mixup mixing.layers=[input]", ""),
        ("mixing=cutmix", ""),
    ],
)
def test_a_picture_says_what_it_does_not_show(subtitles: list[str], words: str, note: str) -> None:
    _, said = SHOWS["batch"](composed(*words.split(), config="preview"))
    batch = "batch 0 of epoch 0 of digits"
    assert said == f"{batch}, before and after mixing{note}" and subtitles == [f"{batch}{note}"]


def test_a_picture_of_a_run_says_so_too(
    here: Path, subtitles: list[str], command: Callable
) -> None:
    cfg = small(here, "mixing=tokenmix", "mixing.method.grid=4", "trainer.max_epochs=1")
    train(cfg)
    said = command("preview", f"run={run_folder(cfg)}")
    batch = f"batch 0 of epoch 0 of {run_folder(cfg)}"
    assert f": {batch}, before and after mixing; {BY_AREA}\n" in said.out
    assert subtitles == [f"{batch}; {BY_AREA}"]


@pytest.mark.parametrize("layers", [[], ["mixing.layers=[input,last]"]])
def test_features_have_no_picture(layers: list[str]) -> None:
    cfg = composed("mixing=patchup_hard", *layers, config="preview")
    sentence = (
        "HardPatchUp mixes features of the network, which have no picture; mixing.layers=[input] "
        "shows it as if in the input"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SHOWS["batch"](cfg)


def test_a_gallery_of_pictures(
    pictures: list[str], few_methods: None, here: Path, command: Callable
) -> None:
    words = ["images=[red.png,green.png]", "partners=[1,0]", "output=a.png"]
    assert command("preview", "show=gallery", *words).status == 0
    page = drawn(here / "a.png")
    assert has_color(page, 1, 0, 0) and has_color(page, 0, 1, 0)


def test_a_batch_before_and_after_augmentation(here: Path, command: Callable) -> None:
    arrays = {"train_images": np.full((40, 16, 16), 255, np.uint8)}
    write_npz(here / "mine.npz", **arrays)
    words = ["data=npz", "data.path=mine.npz", "augmentation=flip_crop", "augmentation.force=true"]
    assert command("preview", "show=augmentation", *words).status == 0
    page = drawn(here / "preview.png")
    assert has_color(page, 0, 0, 0), "the border that a crop brings in"


def test_two_pictures_blended(pictures: list[str], here: Path, command: Callable) -> None:
    said = command("preview", "show=blend", "images=[red.png,green.png]", "output=b.png")
    assert said.status == 0 and "two of 2 pictures of 40 x 60 pixels, blended" in said.out
    page = drawn(here / "b.png")
    for tenth in range(1, 10):
        assert has_color(page, tenth / 10, 1 - tenth / 10, 0)
    assert not has_color(page, 1, 0, 0) and not has_color(page, 0.45, 0.55, 0)


def test_pictures_with_a_given_box(pictures: list[str], here: Path, command: Callable) -> None:
    said = command(
        "preview", "show=cutmix", f"images=[{','.join(pictures)}]", "partners=[1,2,0]",
        "box=[0,10,0,30]", "labels=[cat,dog,dog]", "published=[1,0.875,1]", "output=c.png",
    )  # fmt: skip
    lines = [re.split(r"  +", line) for line in said.out.splitlines()[2:]]
    partners = ["1 dog", "2 dog", "0 cat"]
    labels = ["0.8750 cat + 0.1250 dog", "1.0000 dog", "0.8750 dog + 0.1250 cat"]
    assert [line[2] for line in lines] == partners and [line[5] for line in lines] == labels
    assert all(line[3:5] == ["0.8750", "0.1250"] for line in lines)
    assert [line[6] for line in lines] == ["1.0000, 0.1250 too much", "0.8750"] + [lines[0][6]]
    page = drawn(here / "c.png")
    assert has_color(page, 1, 0, 0) and has_color(page, 0, 0, 1)


def test_methods_beside_each_other(pictures: list[str], here: Path, command: Callable) -> None:
    words = ["images=[red.png,green.png]", "box=[0,20,0,60]", "output=d.png"]
    assert command("preview", "show=side_by_side", *words).status == 0
    page = drawn(here / "d.png")
    for color in ((1, 0, 0), (0.5, 0.5, 0), (0, 0, 0), (0, 1, 0)):
        assert has_color(page, *color)


def test_pictures_of_a_run(here: Path, few_methods: None, command: Callable) -> None:
    cfg = small(here, "mixing=cutmix", "augmentation=standard", "data.image_size=16")
    train(cfg)
    run = f"run={run_folder(cfg)}"
    said = command("preview", run, "epoch=1", "batch=3")
    assert said.status == 0 and f"batch 3 of epoch 1 of {run_folder(cfg)}" in said.out
    figure = run_folder(cfg) / "figures" / "mixed-epoch-1.png"
    assert command("preview", run, "epoch=1").status == 0
    page, figure = drawn(here / "preview.png"), drawn(figure)
    assert len(page) > len(figure), "there is a title above"
    assert np.array_equal(page[-len(figure) :], figure), "as drawn in training"
    for show in ("gallery", "augmentation"):
        assert command("preview", run, f"show={show}").status == 0
    assert "the run's 2 epochs" in command("preview", run, "epoch=2").sentence


@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
def test_loggers_get_it_too(here: Path, command: Callable, logger: str) -> None:
    said = command("preview", "output=seen.png", f"logger={logger}")
    assert said.status == 0, said.err
    folder = here / "logs" / "previews" / "seen"
    if logger == "wandb":
        (picture,) = folder.rglob("media/images/pictures/*.png")
        assert np.array_equal(drawn(picture), drawn(here / "seen.png"))
    else:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        assert events.Tags()["images"] == ["pictures/seen"]
    assert not list(here.rglob("metrics.csv"))


REFUSED = {
    "output=cutmix.jpg": "output=cutmix.jpg must end in .png",
    "show=galery": "show must be one of batch, gallery, augmentation, blend, cutmix, side_by_side, "
    "got 'galery'; did you mean gallery?",
    "count=0": "count must be a whole number of images above 0, got 0",
    "epoch=-1": "epoch must be a whole number from 0, got -1",
    "batch=18": "batch=18 is beyond the epoch's 18 batches",
    "show=gallery mixing=null": "mixing= means nothing to show=gallery with data=...; leave it",
    "rank=1": "rank= means nothing to show=batch with data=...; leave it out",
    "mixing=null": "mixing=none leaves a batch as it is; name a method, as in mixing=mixup",
    "show=augmentation": "augmentation=none leaves images as they are",
    "show=augmentation images=[red.png]": "takes a batch of data=... or run=..., not images=",
    "images=[]": "images=[] names no picture",
    "images=[red.png,gone.png]": "there is no file gone.png",
    "images=[red.png,green.png] labels=[a]": "labels names 1 and images 2; give each picture",
    "show=blend images=red.png": "show=blend takes two pictures, got 1",
    "show=blend images=[red.png,green.png,blue.png]": "show=blend takes two pictures, got 3",
    "show=cutmix images=red.png": "show=cutmix takes two pictures or more, got 1",
    "show=cutmix images=[red.png,green.png] partners=[1,2]": "by its number from 0 to 1",
    "show=cutmix images=[red.png,green.png] partners=[1]": "a partner for each of the 2 pictures",
    "show=cutmix images=[red.png,green.png] box=[0,41,0,9]": "within the pictures' 40 rows and 60",
    "show=cutmix images=[red.png,green.png] box=[9,9,0,9]": "with top < bottom and left < right",
    "show=cutmix images=[red.png,green.png] box=[0,9]": "box=[0, 9] must be top,bottom,left,right",
    "show=cutmix images=[red.png,green.png] published=[1]": "published=[1] must give one number",
    "run=gone seed=1": "seed= means nothing to show=batch with run=...; leave it out",
    "run=gone mixing=null": "mixing= means nothing to show=batch with run=...; leave it out",
    "run=gone": "gone is not a run folder",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_one_sentence(pictures: list[str], here: Path, arguments: str) -> None:
    words = arguments.split()
    cfg = OmegaConf.merge(composed(config="preview"), OmegaConf.from_dotlist(words))
    assert isinstance(cfg, DictConfig)
    with pytest.raises(ValueError, match=re.escape(REFUSED[arguments])):
        preview(cfg, {word.split("=")[0] for word in words})
    assert not list(here.glob("preview.*"))


def test_one_sentence_and_status_2(pictures: list[str], here: Path, command: Callable) -> None:
    for words in (
        ["show=blend", "images=[red.png,gone.png]"],
        ["show=gallery", "mixing.method.alpha=1"],
        ["claim=cost"],
        ["experiment=signl"],
        ["experiment=table", "mixing=cutmix"],
        ["experiment=signal", "run=gone"],
        ["experiment=signal", "show=cutmix"],
    ):
        said = command("preview", *words)
        expected = (
            "no file gone.png|mixing= means|claim=... is for mixlab-train|did you mean signal|"
            r"CutMix needs rows x channels x height x width, got \(16, 13\); use Mixup|"
            "experiment= means nothing to show=batch with run=...|"
            "show=cutmix is for images, and waves has rows of 2 x 128; use show=batch, gallery"
        )
        assert said.status == 2 and re.search(expected, said.sentence)


ROWS = {
    "experiment=table": "a bar for each feature",
    "experiment=table mixing=mixup_many count=3": "a bar for each feature",
    "experiment=signal mixing=signal_cutmix": "a line for each channel",
    "experiment=points mixing=point_mixup": "points seen from the side",
    "data=digits_table show=blend": "a bar for each feature",
    "data=embeddings data.path=mine.npz": "a line for each token",
    "data=embeddings data.path=mine.npz data.features=first": "a line for each channel",
    "data=embeddings data.path=mine.npz data.features=points show=blend": "by the first 3 of 4",
}


@pytest.mark.parametrize("words", ROWS)
def test_rows_that_are_no_images(
    here: Path, subtitles: list[str], command: Callable, words: str
) -> None:
    rng = np.random.default_rng(0)
    np.savez(here / "mine.npz", X=rng.normal(size=(30, 4, 6)), y=np.arange(30) % 3)
    said = command("preview", *words.split())
    assert said.status == 0, said.err
    (subtitle,) = subtitles
    assert ROWS[words] in subtitle and "orange from its partner" in subtitle
    page = drawn(here / "preview.png")
    assert has_color(page, 1, 1, 1)
    if "experiment=table" in words:
        own, partner = INKS[:2].tolist()
        assert has_color(page, *own) and has_color(page, *partner)


def test_a_gallery_of_rows_names_the_methods_that_cannot_mix_them(
    here: Path, few_methods: None, subtitles: list[str], command: Callable
) -> None:
    said = command("preview", "show=gallery", "data=waves", "count=2")
    assert said.status == 0, said.err
    reason = "left out (needs rows x channels x height x width): ricap, attentive, patchup, trans"
    notes = f"{AS_INPUT}: points, manifold"
    fit = "4 methods (4 do not fit such rows)"
    assert f"batch 0 of epoch 0 of waves, under {fit}; {notes}\n" in said.out
    assert subtitles[0].endswith(f"is shaded; {notes}; {reason}")
    assert len(drawn(here / "preview.png")) < 600, "no column of reasons"
    said = command("preview", "show=gallery", "data=wine", "count=2")
    assert "left out (needs rows x coordinates x points): points" in subtitles[1]


def test_a_method_by_chance_is_refused_if_one_of_its_methods_is(command: Callable) -> None:
    """In another batch it would be chosen."""
    for batch in range(4):
        said = command("preview", "experiment=table", "mixing=deit", f"batch={batch}")
        assert "CutMix needs rows x channels" in said.sentence


def test_an_experiment_is_taken_as_in_a_training(here: Path, command: Callable) -> None:
    experiment = here / "conf" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text(
        "# @package _global_\ndefaults:\n  - override /data: waves\n  - override /mixing: "
        "signal_cutmix\n  - override /trainer: cpu\ntask_name: mine\nseed: 7\n"
        "data:\n  batch_size: 100\ntrainer:\n  max_epochs: 3\n"
    )
    printed = command("preview", "--config-dir=conf", "experiment=mine", "--cfg=job").out
    cfg = OmegaConf.create(printed)
    assert (cfg.data.name, cfg.data.batch_size, cfg.seed) == ("waves", 100, 7)
    assert cfg.mixing.method._target_.endswith("SignalCutMix") and "trainer" not in cfg
    words = ["--config-dir=conf", "data.batch_size=50", "seed=1", "mixing=mixup", "experiment=mine"]
    cfg = OmegaConf.create(command("preview", *words, "--cfg=job").out)
    assert (cfg.data.name, cfg.data.batch_size, cfg.seed) == ("waves", 50, 1)
    assert cfg.mixing.method._target_.endswith("Mixup")
    said = command("preview", "--config-dir=conf", "experiment=mine", "batch=4")
    assert "batch=4 is beyond the epoch's 4 batches" in said.sentence
    said = command("preview", "--config-dir=conf", "experiment=mine", "data.batch_sise=4")
    assert "did you mean data.batch_size?" in said.sentence


def test_help_has_an_example_of_each_picture(command: Callable) -> None:
    text = command("preview", "--help").out
    examples = re.findall(r"^  +(mixlab-preview .*)", text, re.M)
    for show in OF_SHOW:
        assert any(f"show={show}" in line for line in examples) or show == "batch"
    assert any("run=" in line for line in examples)
    assert max(map(len, text.split("== Choices")[0].splitlines())) < 100
