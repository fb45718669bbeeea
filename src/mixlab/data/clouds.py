"""A small generated set of point clouds: no file, no download."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixlab.checks import SEED, check_fields, number, whole
from mixlab.data.rows import array_rows
from mixlab.data.spec import Datasets

SPLIT_CLOUDS = {"train": 300, "val": 100, "test": 200}


@dataclass(frozen=True)
class Clouds:
    """Clouds (N, 3, points) of points on a sphere, cube, cylinder or cone, in no order.

    Each is turned about the vertical axis, stretched by 0.7 to 1.3 along each axis, and noisy. The
    same in every run, and different rows in each split.

    Attributes:
        points: of each cloud, >= 8.
        noise: standard deviation of the normal noise that is added to coordinates from -1.3 to 1.3.
        set_seed: of the set, whatever the seed of a run.
    """

    points: int = 64
    noise: float = 0.1
    set_seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "data.", points=whole(8), noise=number(0), set_seed=SEED)

    def splits(self) -> Datasets:
        made = {}
        for split, rows in SPLIT_CLOUDS.items():
            rng = np.random.default_rng([self.set_seed, list(SPLIT_CLOUDS).index(split)])
            labels = np.arange(rows) % len(SOLIDS)
            clouds = np.stack([self.cloud(SOLIDS[label], rng) for label in labels])
            names = [solid.__name__ for solid in SOLIDS]
            made[split] = array_rows(
                clouds, labels, class_names=names, source="clouds", is_cloud=True
            )
        return Datasets(**made)

    def cloud(self, solid: "Solid", rng: np.random.Generator) -> np.ndarray:
        """(3, points) on the surface of a solid."""
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        stretched = rng.uniform(0.7, 1.3, (3, 1)) * solid(self.points, rng)
        return turn @ stretched + rng.normal(0, self.noise, (3, self.points))


Solid = Callable[[int, np.random.Generator], np.ndarray]


def sphere(points: int, rng: np.random.Generator) -> np.ndarray:
    """(3, points), uniform on the unit sphere."""
    found = rng.normal(size=(3, points))
    return found / np.linalg.norm(found, axis=0)


def cube(points: int, rng: np.random.Generator) -> np.ndarray:
    """(3, points), uniform on the faces of a cube of side 2."""
    found = rng.uniform(-1, 1, (3, points))
    found[rng.integers(0, 3, points), np.arange(points)] = rng.choice([-1, 1], points)
    return found


def cylinder(points: int, rng: np.random.Generator) -> np.ndarray:
    """(3, points), uniform on the side of a cylinder of height 2 and radius 1."""
    angle = rng.uniform(0, 2 * np.pi, points)
    return np.stack([np.cos(angle), np.sin(angle), rng.uniform(-1, 1, points)])


def cone(points: int, rng: np.random.Generator) -> np.ndarray:
    """(3, points), uniform on the side of a cone of height 2 and radius 1."""
    angle, radius = rng.uniform(0, 2 * np.pi, points), np.sqrt(rng.uniform(0, 1, points))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 1 - 2 * radius])


SOLIDS: tuple[Solid, ...] = (sphere, cube, cylinder, cone)
