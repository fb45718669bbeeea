"""What a user can cause is one sentence, which names the value and the remedy, and status 2."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from helpers.small_runs import SMALL, write_npz
from mixlab.cli import is_override

QUICK = (*SMALL, "logger=csv", "trainer.max_epochs=1", "trainer.limit_train_batches=1")

PACKAGE, ONE_OF = "mixlab.data.augmentation", "augmentation=one_of augmentation.augmentations"
KEYS = {
    "augmentation=noise augmentation.sdt=1": "did you mean augmentation.std?",
    "augmentation=randaument": "did you mean randaugment?",
    "mixing.probabilty=0.5": "did you mean mixing.probability?",
    "+mixing.probabilty=0.5": "did you mean mixing.probability?",
    "++mixing.probabilty=0.5": "did you mean mixing.probability?",
    "+mixin=cutmix": "did you mean mixing?",
    "trainer.max_epoch=3": "did you mean trainer.max_epochs?",
    "trainer.kwargs.max_time=1": "write trainer.kwargs={max_time: value}",
    "optimizer.kwargs={foreeach:true}": "did you mean foreach?",
    "mixing=mixupp": "did you mean mixup? choose one of alignmix, attentivemix",
    "mixing=null": "logger=none, say, instead of logger=null",
    "mixing.method._target_=mixlab.mixing.methods.Mixupp": "Mixupp",
    "mixing.method._target_=os.system": "add allow=[mylab]",
    "mixing=cutout mixing.method.alpha=1": "mixing.method.alpha is not a key",
    "-m seeds=2 mixing=none,mixupp": "did you mean mixup?",
    "-m seeds=2 arms={mixup:{method.alfa:1}}": "did you mean mixing.method.alpha?",
}
VALUES = {
    "mixing.probability=1.5": "mixing.probability must be a number in [0, 1], got 1.5; 0 mixes "
    "nothing, 1 everything",
    "mixing.strength=2": "or null, got 2; 0 mixes nothing; null leaves mixing.probability as it is",
    "mixing.probability=often": "probability must be a number in [0, 1], got 'often'",
    "mixing.method.alpha=0": "mixing.method.alpha must be a number above 0, got 0; ",
    "mixing=sequence mixing.method.methods.0.alpha=-2": "mixing.method.methods.0.alpha must be a ",
    "mixing.method.alpha=true": "alpha must be a number above 0, got True; ",
    "mixing.gate={every:0}": "{every: n}",
    "seed=-1": "seed must be an integer from 0 to 2**32 - 1, got -1",
    "seeds=3": "give them with -m",
    "seed=0,1": "add -m",
    "-m arms=mixup": "arms={none:{},mixup:{}}",
    "-m mixing.probability=0.5,2": "probability must be a number in [0, 1], got 2",
    "-m seeds=2 hydra.launcher.jobs=0": "hydra.launcher.jobs must be above 0, got 0",
    "existing=keep": "existing must be one of check, reuse, replace, new, got 'keep'",
    "model=resnet18": "a model of timm's is model=timm model.name=resnet18",
    "data=flowers5": "images of your own are data=folder data.path=...",
    "allow=[nosuch]": "there is no package of that name",
    "ckpt_path=gone.ckpt": "ckpt_path=gone.ckpt does not exist",
    "threads=0": "threads must be a whole number from 1, or auto, got 0",
    "trainer.max_epochs=many": "trainer.max_epochs must be a whole number from 1, or -1 or",
    "trainer.precision=8": "trainer.precision must be one of 32-true",
    "optimizer.lr=-1": "optimizer.lr must be a number above 0, got -1",
    "model.loss=hinge": "model.loss must be one of cross_entropy",
    "model=timm model.name=resnet19": "did you mean resnet18",
    "model.name=resnet18": "for a model of timm's use model=timm model.name=resnet18",
    "augmentation=noise augmentation.std=[0.2,0.1]": "std must be [lowest, highest], both",
    "augmentation=randaugment augmentation.pool=[Equalise]": "did you mean Equalize?",
    f"{ONE_OF}=[{{_target_:{PACKAGE}.Noise,sdt:1}}]": "no argument sdt; did you mean std?",
    f"{ONE_OF}=[{{_target_:{PACKAGE}.Noise,std:1}}]": "augmentation.std must be [lowest, highest]",
    f"{ONE_OF}=[{{_target_:os.system}}]": "add allow=[mylab]",
    "logger=wandb logger.wandb.mode=never": "auto, online, offline, disabled, got 'never'",
    "mixing.method=cutmix": "a node; write mixing=cutmix for a choice, or mixing.method._target_=",
    "mixing=[none,mixup]": "mixing takes one choice, got [none,mixup]; for a run of each: -m ",
    "data": "'data' is not key=value",
    "data.path=Größe&(1)": """inside those of the shell: 'data.path="Größe&(1)"'""",
    "data.path=x(1)": """inside those of the shell: 'data.path="x(1)"'""",
    "data.path=[a,b": "'data.path=[a,b' is not key=value, or a quote or bracket in it is not",
    "-m mixing.probability=interval(0.1,1)": "or give the values, as in mixing.probability=0.5,1",
    "-m hydra/launcher=submitit_slurm": "for a SLURM cluster, hydra/launcher=slurm",
    "debug=default": "debug=limit trains two short epochs",
    "model.pretrained=true": "but of model=timm",
    "model.freeze=backbone": "but of model=timm",
    "train=false": "mixlab-evaluate run=... tests a finished run without training",
    "+extras.print_config=true": "--cfg job --resolve prints the configuration",
    "model=timm model.name=hf_hub:timm/resnet18.a1_in1k": "model.name=resnet18.a1_in1k model.pre",
    "-m claim=probability --cfg job": "leave -m out",
    "ckpt_path=broken": "broken is broken: ",
    "callbacks=[default,ema] callbacks.ema.decay=2": "callbacks.ema.decay must be a number in",
}
DATA = {
    "data=npz": "data.path has no value; give it on the command line: data.path=...",
    "data=npz data.path=gone.npz": "gone.npz; set data.path",
    "data=npz data.path=cut.npz": "cut.npz is damaged or not an .npz file",
    "data=npz data.path=labels.npz": "labels.npz range from 0 to 6, but there are 4 classes",
    "data.batch_size=1": "data.batch_size=1 leaves a row without a partner; use 2 or more",
    "data.batch_size=3 trainer=ddp_sim": "use 4 or more",
    "mixing.schedule=cosine trainer.max_epochs=-1": "set trainer.max_epochs or trainer.max_steps",
    "data.image_size=8": "CNN needs images of at least 16 x 16 pixels, got 8 x 8",
    "augmentation=flip_crop": "augmentation.force=true",
    "data=shapes model=cnn": "use model=segmentation callbacks=segmentation",
    "data=shapes augmentation=augmix augmentation.force=true": "cannot move segmentation",
    "augmentation=rotation": "Rotation needs the kind rotate, which may change the label",
    "augmentation=grayscale": "Grayscale needs images of 3 channels, those of digits have 1",
    "augmentation=blur augmentation.kernel_size=65": "kernel_size must be below 32 for images of",
    "data.label_preserving=[colour]": "data.label_preserving may list flip, crop, rotate, color",
    "data=torch data.source.train._target_=mylab.Skin": "if you trust mylab, add allow=[mylab]",
    "data=torch data.source.train._target_=mylab.Skin allow=[mylab]": "mylab.Skin",
}


def sentence_of(command: Callable, arguments: str) -> str:
    words = arguments.split()
    chosen = {word.split("=")[0] for word in words}
    quick = [word for word in QUICK if word.split("=")[0] not in chosen]
    said = command("train", *quick, *words)
    assert said.status == 2
    assert said.sentence.startswith("mixlab-train: ")
    return said.sentence


@pytest.mark.parametrize("arguments", KEYS)
def test_a_misspelled_name(here: Path, command: Callable, arguments: str) -> None:
    assert KEYS[arguments] in sentence_of(command, arguments)
    assert not (here / "logs" / "runs").exists() or "kwargs=" in arguments


@pytest.mark.parametrize("arguments", VALUES)
def test_a_value_that_cannot_be(here: Path, command: Callable, arguments: str) -> None:
    (here / "broken").write_text("not a checkpoint")
    assert VALUES[arguments] in sentence_of(command, arguments)
    assert not list(here.rglob("*.ckpt"))
    assert not list(here.rglob("seed-*"))


@pytest.mark.parametrize("arguments", DATA)
def test_data_that_cannot_be(here: Path, command: Callable, arguments: str) -> None:
    whole = write_npz(here / "whole.npz").read_bytes()
    (here / "cut.npz").write_bytes(whole[: len(whole) // 2])
    write_npz(here / "labels.npz", test_labels=np.arange(40) % 7)
    (here / "mylab.py").write_text("class Skinn: pass\n")
    assert DATA[arguments] in sentence_of(command, arguments)
    assert not list(here.rglob("*.ckpt")), "a slip on the command line leaves no run behind"


def test_an_experiment_with_a_misspelled_key(here: Path, command: Callable) -> None:
    mine = here / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\nmixing:\n  probabilty: 0.5\n")
    found = sentence_of(command, "experiment=mine --config-dir conf")
    assert "mixing.probabilty is not a key" in found and "did you mean mixing.probability?" in found


@pytest.mark.parametrize(
    ("program", "arguments", "expected"),
    [
        ("evaluate", "", "run has no value; give it on the command line: run=..."),
        ("evaluate", "run=gone", "there is no gone; give a run folder"),
        ("evaluate", "rum=gone", "did you mean run?"),
        ("preview", "mixing=none", "name a method, as in mixing=mixup"),
        ("evaluate", "run=a,b", "several values; give a list: run=[a,b]"),
        ("preview", "seed=0,1", "seed=0,1 gives several values; mixlab-preview takes one"),
        ("preview", "batch=999", "batch=999 is beyond the epoch's"),
        ("preview", "outptu=x.png", "did you mean output?"),
        ("preview", "mixing.method.alpha=-1", "alpha must be a number above 0, got -1"),
    ],
)
def test_the_other_commands(
    here: Path, command: Callable, program: str, arguments: str, expected: str
) -> None:
    said = command(program, *arguments.split())
    assert said.status == 2 and expected in said.sentence
    assert said.sentence.startswith(f"mixlab-{program}: ")


NO_PLACE = ("file/x", pytest.param("/proc/x", marks=pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="Linux has a folder that takes no files")))  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("existing=new",), ("-m", "seeds=2")])
@pytest.mark.parametrize("place", NO_PLACE)
def test_logs_where_no_folder_can_be_made(
    here: Path, command: Callable, place: str, flags: tuple[str, ...]
) -> None:
    (here / "file").touch()
    said = command("train", *QUICK, *flags, f"paths.log_dir={place}")
    assert said.status == 2 and f"mixlab-train: {here / place}/" in said.sentence
    assert "choose a folder that you may write to with paths.log_dir=..." in said.sentence
    assert [path.name for path in here.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("call", ["mkdir", "open"])
@pytest.mark.parametrize("flags", [(), ("-m", "seeds=2")])
def test_logs_where_nothing_may_be_written(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, number: int, call: str,
    flags: tuple[str, ...],
) -> None:  # fmt: skip
    """The folder is there already, or it is not: root may write everywhere, so it is pretended."""
    own = getattr(os, call)

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).startswith(f"{here}/logs"):
            raise OSError(number, os.strerror(number), str(path))
        return own(path, *args, **kwargs)

    monkeypatch.setattr(os, call, refuse)
    monkeypatch.setattr("mixlab.runs.atomic.open", refuse, raising=False)
    said = command("train", *QUICK, *flags)
    assert said.status == 2 and f"mixlab-train: {here}/logs/" in said.sentence
    assert f"({os.strerror(number)}); choose a folder that you may write to" in said.sentence
    assert not [path for path in here.rglob("*") if path.is_file()]


@pytest.mark.parametrize("output", ["file/x.png", "file/x/y.png", "folder.png"])
def test_a_picture_where_none_can_be_written(here: Path, command: Callable, output: str) -> None:
    (here / "file").touch()
    (here / "folder.png").mkdir()
    said = command("preview", f"output={output}")
    assert said.status == 2 and said.sentence.startswith(f"mixlab-preview: {output.split('/')[0]}")
    assert "choose a folder that you may write to with output=..." in said.sentence


@pytest.mark.parametrize("program", ["train", "evaluate", "preview"])
def test_hydras_own_help(here: Path, command: Callable, program: str) -> None:
    said = command(program, "--hydra-help")
    assert said.status == 0 and said.err == "" and "--multirun" in said.out
    assert not list(here.iterdir())


@pytest.mark.parametrize("program", ["evaluate", "preview"])
@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_what_makes_no_sweep_refuses_one(
    here: Path, command: Callable, program: str, flag: str
) -> None:
    said = command(program, flag, {"evaluate": "run=a,b", "preview": "seed=0,1"}[program])
    assert said.status == 2 and "without -m" in said.sentence
    assert not list(here.iterdir()), "nothing is left behind"


def test_our_own_defects_keep_their_traceback(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixlab.training.build.build_model", lambda *_: {}["nothing"])
    said = command("train", *QUICK)
    assert said.status == 1 and "KeyError: 'nothing'" in said.err
    assert "KeyError" in next(here.rglob("error.txt")).read_text()


def test_a_traceback_can_be_asked_for(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXLAB_TRACEBACK", "1")
    said = command("train", "seed=-1")
    assert said.status == 2 and "Traceback" in said.err


def test_flags_and_overrides_may_be_mixed(here: Path, command: Callable) -> None:
    found = [word for word in ("-m", "--config-dir=conf", "conf") if is_override(word)]
    assert found == [] and is_override("+a.b=-1") and is_override("~logger")
    said = command("train", "mixing=none", "--cfg", "job", "seed=7")
    assert said.status == 0 and "seed: 7" in said.out


def test_a_command_is_composed_once_and_once_for_its_keys(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra would compose it another time, for its mode alone."""
    composed = []
    load = ConfigLoaderImpl._load_configuration_impl

    def counted(*args: Any, **given: Any) -> Any:
        composed.append(given["overrides"])
        return load(*args, **given)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    assert "probability" in command("train", "mixing.probability=7", "seed=123").sentence
    assert 1 <= len(composed) <= 2 and ["seed=123" in each for each in composed].count(True) == 1


def test_a_mode_from_the_command_line_or_a_file_makes_a_sweep(
    here: Path, command: Callable
) -> None:
    mine = here / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\nhydra:\n  mode: MULTIRUN\n")
    wrong = ("seeds=2", "mixing.probability=0.5,2", *QUICK)  # two seeds take a sweep
    for words in (["hydra.mode=MULTIRUN"], ["--config-dir=conf", "experiment=mine"]):
        assert (
            "probability must be a number in [0, 1], got 2"
            in command("train", *words, *wrong).sentence
        )


LOADED = """
import os, sys
from mixlab.train import main

ends, os._exit = os._exit, sys.exit
for arguments in sys.argv[1:]:  # each in a fork of a process that has only read them
    if arguments[0] == "-" and "torch" not in sys.modules:
        import torch  # once for those that need it; the first two have shown that they do not
    if not (child := os.fork()):
        sys.argv[1:] = arguments.split()
        try:
            main()
        except SystemExit as end:
            loaded = (name in sys.modules for name in ("torch", "pytorch_lightning"))
            print(end.code, *loaded, flush=True)
        finally:
            ends(0)
    os.waitpid(child, 0)
"""


def test_bad_mixing_is_seen_before_lightning_is_loaded(here: Path) -> None:
    """Within the time that torch takes to load; a sweep is planned in it, too."""
    refused = {
        "+mixin=1": "2 False False",
        "mixing.probability=7": "2 False False",
        "-m mixing.method.alpha=1,0": "2 True False",
        "-m mixing=mixup,cutmix mixing.strength=0.45": "2 True False",
        "experiment=table mixing=cutmix": "2 True False",
    }
    words = [sys.executable, "-c", LOADED, *refused]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == list(refused.values()), done.stderr
