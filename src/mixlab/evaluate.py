"""Test a finished run's checkpoints again: `mixlab-evaluate run=FOLDER`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mixlab.cli import run as run_from_command_line


def evaluate(cfg: DictConfig) -> dict[str, dict[str, float]]:
    """Test `best.ckpt` and `last.ckpt` of a run folder and print what is found.

    The folder's configuration says what is built; what code it may call is `cfg.allow`'s to say,
    for replaying a stranger's run must not run a stranger's code.

    Returns:
        For `best` (where there is one) and `last`: `test/accuracy`, `test/loss`.
    """
    folder = Path(cfg.run)
    run_cfg = read_config(folder, cfg)
    paths = {when: folder / "checkpoints" / f"{when}.ckpt" for when in ("best", "last")}
    paths = {when: path for when, path in paths.items() if path.is_file()}
    if not paths:
        raise ValueError(f"{folder} has no checkpoints/best.ckpt nor last.ckpt; train it first")
    found = test_checkpoints(run_cfg, paths)
    for when, figures in found.items():
        print(f"{when}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    return found


def read_config(folder: Path, cfg: DictConfig) -> DictConfig:
    """The configuration of a run folder, with `allow`, threads and trainer of this command."""
    file = folder / "config.yaml"
    if not file.is_file():
        inside = sorted(entry.parent.name for entry in folder.glob("seed-*/config.yaml"))
        hint = f"; did you mean {folder / inside[0]}?" if inside else ""
        raise ValueError(f"{folder} is not a run folder: it has no config.yaml{hint}")
    found = OmegaConf.load(file)
    assert isinstance(found, DictConfig)
    found.allow = cfg.allow
    found.threads = cfg.threads
    if cfg.data_path is not None:
        for node in (found.data, *(found.data[part] for part in ("train", "val", "test"))):
            if node.get("path"):  # resolved when the run was made, each for itself
                node.path = str(Path(cfg.data_path).resolve())
    return found


def test_checkpoints(cfg: DictConfig, paths: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Test each checkpoint on the run's own test set, in one process."""
    import pytorch_lightning as pl

    from mixlab.runtime import keep_memory, quiet, set_threads
    from mixlab.training import build_data, build_model, tested

    quiet()
    keep_memory()
    set_threads(cfg.threads)
    data = build_data(cfg)
    if not data.has_test:
        raise ValueError(f"the data of {cfg.data.name} have no test set; give a file that has one")
    model = build_model(cfg, data)
    trainer = pl.Trainer(
        devices=1,
        precision=cfg.trainer.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    return {when: tested(trainer, model, data, path) for when, path in paths.items()}


def main() -> None:
    """The command `mixlab-evaluate`."""
    run_from_command_line(evaluate, "evaluate")


if __name__ == "__main__":
    main()
