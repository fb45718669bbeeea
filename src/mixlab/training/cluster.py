"""What Lightning is told of the ranks, in place of what it would read in the environment.

It would take a script in a SLURM job for one rank of several, refuse `srun --ntasks`, and not see
srun in an interactive job.
"""

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from mixlab.training.ranks import Launch


class LaunchedRanks(ClusterEnvironment):
    """Ranks that torchrun or srun started."""

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self.launch = launch

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self.launch.address

    @property
    def main_port(self) -> int:
        return self.launch.port

    @staticmethod
    def detect() -> bool:
        return False  # we say when

    def world_size(self) -> int:
        return self.launch.world_size

    def set_world_size(self, size: int) -> None:
        """Nothing: the launcher has decided."""

    def global_rank(self) -> int:
        return self.launch.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing: the launcher has decided."""

    def local_rank(self) -> int:
        return self.launch.local_rank

    def node_rank(self) -> int:
        return self.launch.node


def cluster(launch: Launch | None) -> ClusterEnvironment:
    """The environment for a Trainer; without a launch, Lightning starts other ranks itself."""
    return LaunchedRanks(launch) if launch is not None else LightningEnvironment()
