"""A stranger's configuration, run folder or checkpoint runs nothing; a sentence says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.small_runs import SMALL
from mixlab.config.allowlist import EXCEPT, PLACES, locate, may_be_called, targets
from mixlab.config.build import build
from mixlab.config.keys import config_dir

PLANTED = "import pathlib\npathlib.Path({!r}).touch()\nclass Boom:\n    pass\n"

FOREIGN = (
    "os.system", "os.popen", "os.execv", "posix.system", "subprocess.run", "subprocess.Popen",
    "shutil.rmtree", "shutil.copytree", "builtins.open", "builtins.eval", "builtins.exec",
    "builtins.__import__", "builtins.getattr", "urllib.request.urlretrieve", "pickle.loads",
    "pickle.load", "importlib.import_module", "runpy.run_path", "ctypes.CDLL", "socket.socket",
    "pty.spawn", "code.interact", "timeit.timeit", "functools.partial", "operator.methodcaller",
    "pathlib.Path.write_text", "tempfile.mkstemp", "logging.FileHandler", "numpy.load",
    "numpy.f2py.compile", "yaml.unsafe_load", "joblib.load", "pandas.read_pickle", "evil.Boom",
    "hydra.utils.instantiate", "hydra.utils.get_method", "omegaconf.OmegaConf.load", "wandb.init",
)  # fmt: skip
OF_LIBRARIES = (
    "torch.load", "torch.save", "torch.hub.load", "torch.hub.download_url_to_file",
    "torch.package.PackageImporter", "torch.utils.cpp_extension.load", "torch.jit.load",
    "torch.multiprocessing.Process", "torch.utils.data.DataLoader", "torch.distributed.run.main",
    "torch.utils.model_zoo.load_url", "torch.nn.Module.__init__", "torch.nn.Linear.__class__",
    "torchvision.datasets.utils.download_url", "torchvision.datasets.LSUN",
    "torchvision.datasets.utils.extract_archive", "torchvision.io.write_file",
    "pytorch_lightning.cli.LightningCLI", "pytorch_lightning.seed_everything",
    "pytorch_lightning.LightningModule.load_from_checkpoint", "timm.create_model",
    "timm.models.load_checkpoint", "mixlab.training.supervise.train",
    "mixlab.runs.atomic.write_text", "mixlab.runs.Run.open", "mixlab.models.networks",
    "mixlab.data.sources.download",
)  # fmt: skip
ALIASES = (
    "mixlab.data.sources.os.system", "mixlab.data.sources.tempfile.TemporaryDirectory",
    "mixlab.data.sources.Path", "mixlab.loggers.wandb_run.os.popen",
    "mixlab.models.classifier.torch.load",
    "mixlab.callbacks.stopping.os.kill", "torch.nn.modules.module.torch.package.PackageImporter",
    "torch.nn.modules.module.functools.partial", "torchvision.datasets.folder.os.removedirs",
    "torch.optim.optimizer.torch.hub.load", "pytorch_lightning.callbacks.timer.re.sys.exit",
)  # fmt: skip
PLACE_OF_NODE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "itself": lambda node: node,
    "argument": lambda node: {"_target_": "torch.nn.Identity", "x": node},
    "list": lambda node: {"_target_": "torch.nn.Identity", "x": {"y": [1, [node]]}},
    "kwargs": lambda node: {"_target_": "torch.nn.Identity", "kwargs": {"x": node}},
    "in place of it": lambda node: {"_target_": "torch.nn.Identity", "kwargs": node},
    "partial": lambda node: {**node, "_partial_": True},
}
REFUSED = r"is not among what a configuration may call; .*allow=\[\w+\]|is not there"


def test_there_are_enough_of_them() -> None:
    assert len({*FOREIGN, *OF_LIBRARIES, *ALIASES}) >= 75


@pytest.mark.parametrize("target", FOREIGN + OF_LIBRARIES + ALIASES)
def test_what_is_not_listed_is_not_called(target: str) -> None:
    for place, inside in PLACE_OF_NODE.items():
        with pytest.raises(ValueError, match=REFUSED):
            build(inside({"_target_": target, "_args_": ["touch called"]}))
            pytest.fail(place)
    assert not Path("called").exists()


@pytest.mark.parametrize(
    "value",
    [
        "${oc.decode:'{_target_: os.system, command: id}'}",
        "\\${oc.decode:'{_target_: os.system, command: id}'}",
        "\\${oc.create:{_target_: os.system, command: id}}",
        "\\\\\\${oc.create:{_target_: os.system, command: id}}",
    ],
)
def test_no_target_comes_out_of_an_interpolation(value: str) -> None:
    from omegaconf import OmegaConf

    node = OmegaConf.create({"_target_": "torch.nn.Identity", "x": value})
    with pytest.raises(ValueError, match="may call|when resolved"):
        build(node)


def test_every_target_that_is_shipped_is_listed() -> None:
    from omegaconf import OmegaConf

    found = {
        target
        for file in config_dir().rglob("*.yaml")
        for target in targets(OmegaConf.to_container(OmegaConf.load(file)))
    } - {"???"}
    assert len(found) > 45
    for target in found:
        assert may_be_called(locate(target)), target


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Linear", "torch.optim.SGD", "torch.optim.lr_scheduler.OneCycleLR",
        "torch.utils.data.TensorDataset", "torchvision.datasets.FakeData",
        "torchvision.transforms.v2.RandomRotation", "pytorch_lightning.callbacks.EarlyStopping",
        "pytorch_lightning.callbacks.EMAWeightAveraging", "pytorch_lightning.Trainer",
        "pytorch_lightning.profilers.SimpleProfiler", "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.strategies.DDPStrategy", "timm.loss.LabelSmoothingCrossEntropy",
        "timm.optim.Lamb", "torchmetrics.Accuracy", "mixlab.mixing.methods.CutMix",
    ],
)  # fmt: skip
def test_what_experiments_need_is_listed(target: str) -> None:
    assert locate(target).__name__ == target.rpartition(".")[2]


def test_places_are_modules_that_exist() -> None:
    from importlib import import_module

    for place in (*PLACES, *EXCEPT):
        assert import_module(place).__name__ == place


def test_a_package_that_is_trusted_is_trusted_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mylab.py").write_text("import os\ndef make(x=1): return x\nclass Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert build({"_target_": "mylab.make", "x": 3}, allow=["mylab"]) == 3
    assert locate("mylab.Net", ["mylab"]).__name__ == "Net"
    with pytest.raises(ValueError, match=REFUSED):
        build({"_target_": "mylab.os.system", "command": "id"}, allow=["mylab"])
    with pytest.raises(ValueError, match=r"if you trust mylab, add allow=\[mylab\]"):
        build({"_target_": "mylab.make"})


def plant(folder: Path, package: str = "evil") -> Path:
    """A package that leaves a file when it is imported; returns the file."""
    mark = folder / "it-ran"
    (folder / f"{package}.py").write_text(PLANTED.format(str(mark)))
    return mark


HYDRA = {
    "launcher": {"launcher": {"_target_": "evil.Boom"}},
    "launcher's argument": {"launcher": {"jobs": {"_target_": "shutil.copytree"}}},
    "alias": {"launcher": {"jobs": {"_target_": "hydra_plugins.mixlab.plugins.dataclass"}}},
    "sweeper": {"sweeper": {"_target_": "evil.Boom"}},
    "callbacks": {"callbacks": {"x": {"_target_": "evil.Boom"}}},
    "callbacks, in a list": {"callbacks": {"x": {"y": [{"_target_": "builtins.open"}]}}},
    "interpolated": {"callbacks": {"x": {"_target_": "${task_name}"}}},
    "handler": {"job_logging": {"handlers": {"console": {"class": "evil.Boom"}}}},
    "factory": {"job_logging": {"formatters": {"simple": {"()": "evil.Boom"}}}},
    "hydra's own": {"hydra_logging": {"handlers": {"x": {"class": "logging.FileHandler"}}}},
    "a filter in a list": {"job_logging": {"filters": {"x": [{"()": "os.system"}]}}},
    "imported": {"job_logging": {"handlers": {"console": {"stream": "ext://evil.Boom"}}}},
    "late": {"job_logging": {"handlers": {"console": {"stream": "${task_name}"}}}},
    "environment": {"job": {"env_set": {"LD_PRELOAD": "evil.so"}}},
}


@pytest.mark.parametrize("case", HYDRA)
@pytest.mark.parametrize("flags", [(), ("-m", "seeds=2")], ids=["run", "sweep"])
def test_nothing_hides_in_hydras_own_node(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, case: str, flags: tuple
) -> None:
    from omegaconf import OmegaConf

    mark = plant(here)
    monkeypatch.syspath_prepend(here)
    experiment = here / "conf" / "experiment" / "evil.yaml"
    experiment.parent.mkdir(parents=True)
    node = {"hydra": HYDRA[case], "task_name": "evil.Boom"}
    experiment.write_text("# @package _global_\n" + OmegaConf.to_yaml(OmegaConf.create(node)))
    said = command("train", "--config-dir=conf", "experiment=evil", *flags)
    assert said.status == 2 and "hydra" in said.sentence
    assert not mark.exists() and not (here / "logs").exists()


@pytest.mark.parametrize("flag", ["--help", "--hydra-help"])
def test_help_sets_up_no_logging_of_a_strangers(here: Path, command: Callable, flag: str) -> None:
    handler = "{x:{class:logging.FileHandler,filename:it-ran}}"
    said = command("train", flag, f"+hydra.hydra_logging.handlers={handler}")
    assert said.status == 2 and "not among what logging may use" in said.sentence
    said = command("train", flag, f"+hydra.job_logging.handlers={handler}")
    assert said.status == (0 if flag == "--hydra-help" else 2), "it has no job"
    assert not list(here.iterdir())


@pytest.mark.parametrize("word", ["allow=[os]", "allow=mylab", "allow=[mylab.train]", "allow=[1]"])
def test_allow_takes_packages_of_the_users(here: Path, command: Callable, word: str) -> None:
    said = command("train", word)
    assert said.status == 2 and "allow=[mylab]" in said.sentence


FILES = {
    "experiment": "# @package _global_\nallow: [evil]\ncallbacks:\n  last: {_target_: evil.Boom}\n",
    "callbacks": "# @package _global_\nallow: [evil]\ncallbacks: {x: {_target_: evil.Boom}}\n",
    "claim": "# @package _global_\nhydra:\n  sweeper:\n    params:\n      allow: '[evil]'\n"
    "      callbacks.last._target_: evil.Boom\n",
}
ARMS = (
    "# @package _global_\nhydra:\n  sweeper:\n    params:\n"
    "      arms: '{mixup:{/allow:\"[evil]\",/callbacks.last._target_:evil.Boom}}'\n"
)


@pytest.mark.parametrize("group", [*FILES, "arms"])
def test_a_file_cannot_allow_itself(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    mark = plant(here)
    monkeypatch.syspath_prepend(here)
    name = "claim" if group == "arms" else group
    (here / "conf" / name).mkdir(parents=True)
    (here / "conf" / name / "theirs.yaml").write_text(FILES.get(group, ARMS))
    flags = ("-m",) if name == "claim" else ()
    words = [word for word in SMALL if not word.startswith("callbacks.")]  # theirs has none
    said = command("train", "--config-dir=conf", *flags, *words, f"{name}=theirs", "logger=csv")
    assert said.status == 2 and "on the command line" in said.sentence
    assert not mark.exists()


class Payload:
    """Pickled, it leaves a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    from helpers.small_runs import small
    from mixlab.training.supervise import train

    folder = tmp_path_factory.mktemp("trained")
    train(small(folder, "trainer.max_epochs=1", "trainer.limit_train_batches=1"))
    return folder


@pytest.fixture
def planted(trained: Path, here: Path) -> Path:
    """A copy of its run folder, to plant something in."""
    import shutil

    return Path(shutil.copytree(next(trained.rglob("seed-0")), here / "run"))


@pytest.mark.parametrize(
    ("program", "key"),  # a preview builds no network, an evaluation mixes nothing
    [
        *(("evaluate", key) for key in ("model.network", "data.source", "augmentation")),
        *(("preview", key) for key in ("data.source", "augmentation", "mixing.method")),
    ],
)
def test_a_planted_run_folder_runs_nothing(
    planted: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, program: str, key: str
) -> None:
    from omegaconf import OmegaConf

    mark = plant(planted.parent)
    monkeypatch.syspath_prepend(planted.parent)
    cfg = OmegaConf.load(planted / "config.yaml")
    OmegaConf.update(cfg, "allow", ["evil"])
    OmegaConf.update(cfg, key, {"_target_": "evil.Boom"}, merge=False)
    OmegaConf.save(cfg, planted / "config.yaml")
    said = command(program, f"run={planted}")
    assert said.status == 2 and "add allow=[evil]" in said.sentence
    assert not mark.exists()


@pytest.mark.parametrize("name", ["best", "last"])
@pytest.mark.parametrize("place", ["whole", "hyper_parameters", "callbacks"])
def test_a_planted_checkpoint_runs_nothing(
    planted: Path, here: Path, command: Callable, name: str, place: str
) -> None:
    mark, path = here / "it-ran", planted / "checkpoints" / f"{name}.ckpt"
    found = torch.load(path, weights_only=True)
    found = Payload(mark) if place == "whole" else {**found, place: {"_target_": Payload(mark)}}
    torch.save(found, path)
    with pytest.raises(Exception, match="(?i)weights.only"):
        torch.load(path, weights_only=True)  # it is one
    evaluated = command("evaluate", f"run={planted}")
    trained = command("train", *SMALL, "logger=csv", f"ckpt_path={path}")
    for said in (evaluated, trained):
        assert said.status == 2, said
        assert "checkpoint was not loaded" in said.sentence or f"{name}.ckpt" in said.sentence
    assert not mark.exists()


def test_hyper_parameters_of_a_checkpoint_call_nothing(
    planted: Path, here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = plant(here)
    monkeypatch.syspath_prepend(here)
    path = planted / "checkpoints" / "last.ckpt"
    evil = {"_instantiator": "evil.Boom", "_target_": "evil.Boom", "_class_path": "evil.Boom"}
    found = torch.load(path, weights_only=True)
    torch.save({**found, "hyper_parameters": evil, "datamodule_hyper_parameters": evil}, path)
    assert command("evaluate", f"run={planted}").status == 0
    command("train", *SMALL, "logger=csv", f"ckpt_path={path}")
    assert not mark.exists()


def test_a_pickle_in_a_data_file_is_not_read(here: Path, command: Callable) -> None:
    from helpers.small_runs import write_npz

    mark = here / "it-ran"
    write_npz(here / "evil.npz", train_images=np.array([Payload(mark)], dtype=object))
    said = command("train", *SMALL, "logger=csv", "data=npz", "data.path=evil.npz")
    assert said.status == 2 and "evil.npz" in said.sentence
    assert not mark.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch it-ran']", "!evil 1"])
def test_tags_of_yaml_make_nothing(planted: Path, here: Path, command: Callable, tag: str) -> None:
    experiment = here / "conf" / "experiment" / "evil.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text(f"# @package _global_\ntask_name: {tag}\n")
    (planted / "config.yaml").write_text(f"data: {tag}\n")
    for program, words in (
        ("train", ("--config-dir=conf", "experiment=evil")),
        ("evaluate", (f"run={planted}",)),
    ):
        said = command(program, *words)
        assert said.status == 2 and "could not determine a constructor" in said.sentence, said
    assert not Path("it-ran").exists()


KEYS = {
    "WANDB_API_KEY": "1234567890abcdef1234567890abcdef12345678",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIsK7MDENGsbPxRfiCYEXAMPLEKEY",
    "GITHUB_TOKEN": "ghp_0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r",
}
REMOTE = "t0ken-of-the-remote"


@pytest.mark.slow
def test_keys_of_accounts_are_written_nowhere(here: Path) -> None:
    """Not with any logger, in a sweep, a comparison, an evaluation or a preview."""
    import os
    import subprocess
    import sys

    url = f"https://user:{REMOTE}@git.example.org/lab.git"
    for words in (("init", "-q"), ("remote", "add", "origin", url)):
        subprocess.run(["git", *words], check=True)
    environment = {**os.environ, **KEYS, "WANDB_MODE": "offline"}

    def said(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"mixlab.{program}", *words],
            env=environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    quick = [*SMALL, "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    commands = [
        ("train", "-m", *quick, "logger=default", "seeds=2", "task_name=sweep"),
        ("train", *quick, "logger=tensorboard"),
        ("compare", "logs/sweeps/sweep"),
        ("preview", "logger=wandb", "output=drawn.png"),
    ]
    outputs = [said(*words) for words in commands]
    run = next(here.glob("logs/runs/sweep/*/seed-0"))
    outputs.append(said("evaluate", f"run={run}", "output=figures.json"))
    assert [done.returncode for done in outputs] == [0] * 5, [done.stderr for done in outputs]
    refused = [
        said("train", *quick, word, f"task_name=refused{number}")
        for number, word in enumerate(
            (
                f"+logger.wandb.api_key={KEYS['WANDB_API_KEY']}",
                "data.class_names=['${oc.env:GITHUB_TOKEN}']",
                "paths.data_dir=${oc.env:AWS_SECRET_ACCESS_KEY}",
            )
        )
    ]
    assert [done.returncode for done in refused] == [2] * 3, refused
    files = [file for file in here.rglob("*") if file.is_file() and ".git" not in file.parts]
    assert any(file.suffix == ".wandb" for file in files)
    assert any("tfevents" in file.name for file in files)
    written = {file: file.read_bytes() for file in files}
    written[here / "said"] = "".join(d.stdout + d.stderr for d in outputs + refused).encode()
    for secret in (*KEYS.values(), REMOTE):
        assert [file for file, data in written.items() if secret.encode() in data] == []


NAMES = (
    "../../x",
    "/etc/x",
    "x\0y",
    "x\ny",
    "x" * 80,
    "naïve-名",
    "a=b",
    "..",
    "~",
    "x\x1b[31m",
    " ",
)


@pytest.mark.parametrize("key", ["task_name", "data.name", "model.name"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_stay_in_their_folder(tmp_path: Path, key: str, name: str) -> None:
    from omegaconf import OmegaConf

    from helpers.small_runs import small
    from mixlab.runs import run_folder

    cfg = small(tmp_path)
    OmegaConf.update(cfg, key, name)
    folder = run_folder(cfg)
    runs = tmp_path / "logs" / "runs"
    assert folder.resolve().relative_to(runs) == folder.relative_to(runs)
    assert len(folder.relative_to(runs).parts) == 3
    folder.mkdir(parents=True)
