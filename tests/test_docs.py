"""Every command and every program of README and docs runs, epochs and batches cut."""

import re
import shlex
import shutil
import subprocess
import sys
from inspect import cleandoc
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import multiclass_accuracy

from helpers import warm
from helpers.mixing_cases import check_mixing_config
from helpers.pages import PAGES, ROOT, blocks, write_files
from helpers.small_runs import trainer
from mixlab.mixing.partners import _PARTNER_RULES, NETWORK_RULES

SHORT = [
    "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1", "logger=csv",
]  # fmt: skip


def commands(page: Path) -> list[str]:
    """The lines of bash blocks that are commands of mixlab."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("mixlab-")]


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with small data under the names that the pages use."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    shapes = {"fashion_mnist": (28, 28), "cifar10": (32, 32, 3), "pathmnist": (28, 28, 3)}
    (folder / "data").mkdir()
    for name, shape in shapes.items():
        arrays = {
            f"{split}_{what}": rng.integers(0, high, (rows, *size), dtype=np.uint8)
            for split, rows in (("train", 2100), ("test", 100))
            for what, high, size in (("images", 256, shape), ("labels", 10, ()))
        }
        np.savez(folder / "data" / f"{name}.npz", **arrays)
    for number in range(40):
        path = folder / "data" / "flowers5" / ("daisy", "rose")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    for name in ("cat", "dog"):
        Image.fromarray(rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(
            folder / f"{name}.jpg"
        )
    script = [sys.executable, ROOT / "scripts" / "folder_to_csv.py", folder / "data" / "flowers5"]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    folders = [folder / "data" / name for name in ("flowers5", "flowers5-shards")]
    script = [sys.executable, "-m", "mixlab.data.make_shards", *folders]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    files = sorted((folder / "data" / "flowers5").glob("*/*.jpg"))
    lines = [f"flowers5/{f.parent.name}/{f.name},{('a', 'a;b', '', 'b')[n % 4]}"
             for n, f in enumerate(files)]  # fmt: skip
    (folder / "data" / "findings.csv").write_text("\n".join(["image,label", *lines]))
    script = [sys.executable, ROOT / "scripts" / "digits_embeddings.py", "data/embeddings.npz"]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    write_files(folder)
    return folder


@pytest.fixture
def place(small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such a folder, as the working directory."""
    shutil.copytree(small_data, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shortened(line: str) -> list[str]:
    """A command of a page, made to run for a second."""
    line = re.sub(r"\b(seeds|n_trials)=\d+", r"\1=1", line)
    program, *words = shlex.split(line, comments=True)
    found = [resolved(word) for word in words]
    extra = SHORT if program == "mixlab-train" else []
    return [str(Path(sys.executable).with_name(program)), *found, *extra]


def resolved(word: str) -> str:
    """`ARM` stands for any arm there is."""
    if "ARM" not in word:
        return word
    key, _, pattern = word.rpartition("=")
    return f"{key}={next(Path().glob(pattern.replace('ARM', '*')))}"


@pytest.mark.slow
@pytest.mark.timeout(900)  # a page has up to twenty commands
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page: Path, place: Path) -> None:
    if any("weights.safetensors" in line for line in commands(page)):
        subprocess.run([sys.executable, "weights.py"], check=True)
    for line in commands(page):
        done = warm.run(shortened(line))
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_pages_have_commands() -> None:
    assert len([line for page in PAGES for line in commands(page)]) > 10


def test_the_method_of_the_readme_tells_the_truth() -> None:
    source = next(block for block in blocks(PAGES[0], "python") if "class Half" in block)
    node = yaml.safe_load(blocks(PAGES[0], "yaml")[0])
    names: dict = {"__name__": node["method"]["_target_"].rpartition(".")[0]}
    sys.modules[names["__name__"]] = sys.modules[__name__]  # where dataclasses look for the module
    try:
        exec(source, names)
    finally:
        del sys.modules[names["__name__"]]
    targets = torch.eye(5)
    images = targets[:, :, None, None].expand(5, 5, 4, 6)  # each pixel is its label
    blend = names["Half"]()(images, targets, np.random.default_rng(0))
    mixed, labels = blend.mix(images, targets)
    torch.testing.assert_close(mixed.mean((2, 3)), labels)
    assert labels.max() <= 1 and (labels == 0.5).any()
    first = cleandoc(names["Half"].__doc__).partition("\n")[0]
    rows = "Mixes (R, C, H, W) images of any aspect ratio"
    assert first.startswith(rows), "its card says `Rows:` with these words, as those of ours do"
    assert f"**Rows:** {rows}" in (PAGES[0].parent / "docs" / "methods.md").read_text()


def test_the_check_that_the_readme_names_passes(tmp_path: Path) -> None:
    [line] = re.findall(r"`(mixlab-check my_mix:Half)`", PAGES[0].read_text())
    source = next(block for block in blocks(PAGES[0], "python") if "class Half" in block)
    (tmp_path / "my_mix.py").write_text(source)
    done = subprocess.run(shortened(line), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_of_the_readme_is_one_of_ours(tmp_path: Path) -> None:
    """As printed, it passes what every file of configs/mixing has to."""
    file = tmp_path / "half.yaml"
    file.write_text(blocks(PAGES[0], "yaml")[0])
    check_mixing_config(file)


def test_the_programs_of_your_own_project_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, with the names that a project has, and then the module in training."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "")  # set by one of them; taken back after the test
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 10))
    loader = [(torch.rand(8, 3, 16, 16), torch.arange(8))] * 2
    rows = [(torch.rand(3, 16, 16), number) for number in range(8)]
    names: dict = {
        "LightningModule": pl.LightningModule,
        "Trainer": lambda callbacks: trainer(tmp_path, *callbacks),
        "seed_everything": pl.seed_everything, "F": torch.nn.functional, "network": network,
        "loader": loader, "rows": rows, "epochs": 2, "seed": 0,
        "rank": 0, "logits": torch.rand(8, 10),
        "multiclass_accuracy": multiclass_accuracy,
    }  # fmt: skip
    sources = blocks(ROOT / "docs" / "own-project.md", "python")
    for number, source in enumerate(sources):
        exec(source, names)
        if number == 0:
            module, run = names["Net"](), names["trainer"]
    assert len(sources) == 7 and names["mixing"].seed == 4
    assert names["targets"].shape == (8, 10) and 0 <= names["mixed_accuracy"] <= 1

    module.network = network
    module.configure_optimizers = lambda: torch.optim.SGD(network.parameters(), 0.1)
    run.fit(module, DataLoader(loader, batch_size=None, collate_fn=tuple))  # pyright: ignore
    targets = run.callbacks[0].seen.after.targets
    assert targets.shape == (8, 10) and 0 < (targets.max(1).values < 1).sum() < 8


def test_the_knobs_name_every_partner_rule_of_a_run() -> None:
    knobs = (ROOT / "docs" / "running.md").read_text().partition("\n## How much is mixed")[2]
    named = re.findall(r"`(?:mixing\.partners=)?(\w+)`", knobs.partition("\n## ")[0])
    rules = {*_PARTNER_RULES, *NETWORK_RULES}
    assert not rules - {*named}


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
