"""A command line that cannot be is refused before anything is trained, naming key and remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.small_runs import SMALL

pytestmark = pytest.mark.slow
QUICK = (*SMALL, "logger=csv", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
NOT_A_KEY = {
    "optimizer.lrr=0.1": "optimizer.lr",
    "+optimizer.lrr=0.1": "optimizer.lr",
    "++optimizer.lrr=0.1": "optimizer.lr",
    "optimiser.lr=0.1": "optimizer.lr",
    "+optimiser.lr=0.1": "optimizer.lr",
    "++trainer.max_epoch=3": "trainer.max_epochs",
    "trainer.limit_train_batch=3": "trainer.limit_train_batches",
    "data.batchsize=32": "data.batch_size",
    "+data.batchsize=32": "data.batch_size",
    "++data.imagesize=32": "data.image_size",
    "model.label_smoothin=0.1": "model.label_smoothing",
    "+model.network.dropot=0.1": "model.network.dropout",
    "mixing.gatte=row": "mixing.gate",
    "++mixing.method.alhpa=1": "mixing.method.alpha",
    "callbacks.best.monitr=val/loss": "callbacks.best.monitor",
    "logger=wandb logger.wandb.projet=x": "logger.wandb.project",
    "sed=1": "seed",
    "+tasks_name=x": "task_name",
    "data=fashion_mnits": "fashion_mnist",
    "model=resnet": "resnet20",
    "mixing=cutmx": "cutmix",
    "optimizer=admw": "adamw",
    "scheduler=cosin": "cosine",
    "experiment=quikstart": "quickstart",
    "logger=tensorbord": "tensorboard",
    "trainer=dpp": "ddp",
}
VALUES = {
    "trainer.max_epochs=0": "trainer.max_epochs",
    "trainer.max_epochs=-3": "trainer.max_epochs",
    "trainer.max_epochs=1.5": "trainer.max_epochs",
    "trainer.max_epochs=true": "trainer.max_epochs",
    "trainer.max_steps=0": "trainer.max_steps",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches",
    "trainer.limit_train_batches=1.5": "trainer.limit_train_batches",
    "trainer.limit_val_batches=-1": "trainer.limit_val_batches",
    "trainer.limit_test_batches=few": "trainer.limit_test_batches",
    "trainer.overfit_batches=-0.1": "trainer.overfit_batches",
    "trainer.devices=0": "trainer.devices",
    "trainer.devices=two": "trainer.devices",
    "trainer.num_nodes=0": "trainer.num_nodes",
    "trainer.precision=16-mxed": "did you mean 16-mixed?",
    "trainer.precision=8": "trainer.precision",
    "trainer.accelerator=gppu": "did you mean gpu?",
    "trainer.strategy=dpd": "dpd",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch",
    "trainer.detect_anomaly=maybe": "trainer.detect_anomaly",
    "trainer.profiler=simpel": "did you mean simple?",
    "trainer.kwargs={max_tme:1}": "did you mean max_time?",
    "optimizer.lr=-0.1": "optimizer.lr",
    "optimizer.lr=0": "optimizer.lr",
    "optimizer.lr=fast": "optimizer.lr",
    "optimizer.lr=.nan": "optimizer.lr",
    "optimizer.lr=[0.1]": "optimizer.lr",
    "optimizer.lr=null": "optimizer.lr",
    "optimizer.weight_decay=-1": "optimizer.weight_decay",
    "optimizer.betas=[0.9,1]": "optimizer.betas",
    "optimizer.betas=0.9": "optimizer.betas",
    "optimizer=sgd optimizer.momentum=-1": "optimizer.momentum",
    "optimizer=sgd optimizer.nesterov=2": "optimizer.nesterov",
    "scheduler=step scheduler.gamma=0": "scheduler.gamma",
    "scheduler=step scheduler.milestones=5": "scheduler.milestones",
    "scheduler=cosine trainer.max_epochs=-1 trainer.max_steps=5": "scheduler.T_max",
    "scheduler=timm scheduler.warmup_epochs=-1": "scheduler.warmup_epochs",
    "scheduler=timm scheduler.name=cosin": "scheduler.name",
    "data.batch_size=0": "data.batch_size",
    "data.batch_size=1.5": "data.batch_size",
    "data.batch_size=-64": "data.batch_size",
    "data.batch_size=many": "data.batch_size",
    "data.eval_batch_size=0": "data.eval_batch_size",
    "data.num_workers=-1": "data.num_workers",
    "data.num_workers=auto": "data.num_workers",
    "data.val_size=-0.1": "data.val_size",
    "data.val_size=1.5": "data.val_size",
    "data.val_size=2000": "data.val_size",
    "data.val_split=random": "data.val_split",
    "data.image_size=0": "data.image_size",
    "data.image_size=[32,32]": "data.image_size",
    "data.shuffle=yess": "data.shuffle",
    "data.normalize={mean:[0.5]}": "normalize",
    "model.network.dropout=1": "model.network.dropout",
    "model.network.dropout=-0.1": "model.network.dropout",
    "model.label_smoothing=1": "model.label_smoothing",
    "model.loss=cross_entrpy": "did you mean cross_entropy?",
    "model.weight_decay_on=weight": "did you mean weights?",
    "model.channels_last=1": "model.channels_last",
    "model=resnet20 model.network.depth=21": "depth",
    "model=timm model.name=resnt18": "resnet18",
    "optimizer=timm optimizer.name=lam": "lamb",
    "mixing.probability=-0.1": "mixing.probability",
    "mixing.partners=nearst": "mixing.partners",
    "mixing.gate=rows": "mixing.gate",
    "mixing.schedule=cosin": "mixing.schedule",
    "callbacks.best.monitor=val/acuracy": "did you mean val/accuracy?",
    "callbacks.best.mode=maxx": "did you mean max?",
    "seed=1.5": "seed",
    "seed=4294967296": "seed",
    "threads=-2": "threads",
    "threads=all": "threads",
    "test=2": "test",
    "code=resue": "did you mean reuse?",
    "rerun=maybe": "rerun",
    "ckpt_force=1": "ckpt_force",
    "checkpoint_minutes=-1": "checkpoint_minutes",
    "sweep.retry=broken": "sweep.retry",
    "tags={a:1}": "tags",
    "task_name=''": "task_name",
    f"task_name={'x' * 300}": "at most 80 characters",
    "logger=wandb logger.wandb.mode=ofline": "did you mean offline?",
    "data=npz": "data.path=...",
    "data=torch": "data.train._target_=...",
    "data=medmnist": "data.dataset=...",
    "~trainer.max_epochs": "trainer.max_epochs cannot be taken out",
    "~data": "data.image_size is not there any more",  # which stands in QUICK
    "~model": "model cannot be taken out",
    "~optimizer": "optimizer cannot be taken out",
    "~seed": "seed cannot be taken out",
    "~trainer.max_epoch": "did you mean trainer.max_epochs?",
    "optimizer.lr=${oc.env:HOME}": "optimizer.lr",
    "optimizer.lr=${optimizer.lrr}": "optimizer.lrr",
    "optimizer.lr=${eval:1}": "eval",
    "optimizer.lr='0.1": "optimizer.lr",
    "-m optimizer.lr=0.1,-1": "optimizer.lr",
    "-m optimizer.lrr=0.1,1": "did you mean optimizer.lr?",
    "-m trainer.max_epochs=1,0 seeds=2": "trainer.max_epochs",
    "-m seeds=0": "seeds",
    "-m seeds=two": "seeds",
    "-m seeds=2 seed=1": "seed",
    "-m seed=-1,1": "seed",
}
COMMANDS = {**{words: f"did you mean {near}?" for words, near in NOT_A_KEY.items()}, **VALUES}


def test_the_table_is_long() -> None:
    assert len(COMMANDS) >= 100


@pytest.mark.parametrize("arguments", COMMANDS)
def test_is_refused_in_one_sentence(here: Path, command: Callable, arguments: str) -> None:
    words = arguments.split()
    chosen = {word.lstrip("~+").split("=")[0] for word in words}
    said = command("train", *(w for w in QUICK if w.split("=")[0] not in chosen), *words)
    assert said.status == 2, said
    assert said.sentence.startswith("mixlab-train: ") and COMMANDS[arguments] in said.sentence
    assert not list(here.rglob("seed-*")) and not list(here.rglob("*.ckpt"))
