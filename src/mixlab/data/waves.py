"""A small generated set of signals: no file, no download."""

from dataclasses import dataclass

import numpy as np

from mixlab.checks import SEED, check_fields, number, whole
from mixlab.data.rows import array_rows
from mixlab.data.spec import Datasets

WAVES = ("sine", "square", "sawtooth", "triangle")
SPLIT_ROWS = {"train": 400, "val": 100, "test": 200}


@dataclass(frozen=True)
class Waves:
    """Signals (N, 2, length): a periodic wave and, in the second channel, its shift by a quarter.

    Frequency (2 to 6 periods), phase and amplitude are random, so that only the form of the wave
    tells its class. The same in every run, and different rows in each split.

    Attributes:
        length: samples, >= 16.
        noise: standard deviation of the normal noise that is added; the waves reach 0.5 to 1.5.
        set_seed: of the set, whatever the seed of a run.
    """

    length: int = 128
    noise: float = 0.6
    set_seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "data.", length=whole(16), noise=number(0), set_seed=SEED)

    def splits(self) -> Datasets:
        made = {}
        for split, rows in SPLIT_ROWS.items():
            rng = np.random.default_rng([self.set_seed, list(SPLIT_ROWS).index(split)])
            labels = np.arange(rows) % len(WAVES)
            signals = self.signals(labels, rng)
            made[split] = array_rows(signals, labels, class_names=WAVES, source="waves")
        return Datasets(**made)

    def signals(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N, 2, length), a signal for each of the labels (N,)."""
        periods, phase, amplitude = (
            rng.uniform(low, high, len(labels))[:, None, None]
            for low, high in ((2, 6), (0, 1), (0.5, 1.5))
        )
        shift = np.array([0, 0.25])[:, None]
        turns = (periods * np.arange(self.length) / self.length + phase + shift) % 1
        clean = np.choose(labels[:, None, None], [wave(turns) for wave in FORMS])
        return amplitude * clean + rng.normal(0, self.noise, clean.shape)


FORMS = (  # in the order of `WAVES`, of turns in [0, 1)
    lambda turns: np.sin(2 * np.pi * turns),
    lambda turns: np.where(turns < 0.5, 1.0, -1.0),
    lambda turns: 2 * turns - 1,
    lambda turns: 4 * np.abs(turns - 0.5) - 1,
)
