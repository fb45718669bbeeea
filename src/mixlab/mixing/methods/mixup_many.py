"""MixupMany: mixup of two or more rows, each with a share of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class MixupMany:
    """Mixes rows of any rank: images, signals, tables, point clouds.

    The own share follows Beta(alpha, (sources - 1) * alpha), of mean 1 / sources; with two sources
    that is `Mixup`.

    Paper: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018,
        https://arxiv.org/abs/1710.09412, "convex combinations of three or more examples with
        weights sampled from a Dirichlet distribution".
    Draws: s ~ Dirichlet(alpha, ..., alpha), one s_k for each source; x~ = sum_k s_k * x_k.
    Label: y~ = sum_k s_k * y_k.
    Avoid: as a better mixup: its authors saw no further gain, and a higher cost.

    Attributes:
        alpha: > 0, of Dirichlet(alpha, ..., alpha), from which the shares are drawn.
        sources: >= 2, rows that feed each row, itself among them.
        per_row: draw shares for each row, or once for the batch.
    """

    alpha: float
    sources: int = 3
    per_row: bool = True

    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("0.2 is usual; probability=0 mixes nothing")
        sources = checks.whole(2).but("2 is mixup")
        checks.check_fields(self, alpha=alpha, sources=sources, per_row=checks.FLAG)

    @property
    def num_partners(self) -> int:
        """All sources but the row itself."""
        return self.sources - 1

    @property
    def mean_mixed(self) -> float:
        """The mean share of all sources but the row itself."""
        return 1 - 1 / self.sources

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`."""
        columns = partner_columns(partners, images, rng, self.num_partners)
        own = np.arange(len(columns))[:, None]
        num_draws = len(columns) if self.per_row else 1
        shares = rng.dirichlet([self.alpha] * self.sources, size=num_draws)
        source = torch.from_numpy(np.concatenate([own, columns], axis=1))
        return Blend(source, torch.from_numpy(shares.astype(np.float32)))
