"""What the fork server imports first: signals to everybody are not for it.

A terminal that closes, `kill` of a process group and SLURM reach the server too. Dead, it could not
say how its jobs have ended, and they would be taken for lost. So it holds such signals back, and
each job, which inherits that, lets them come again.
"""

import atexit
import os
import signal

from omegaconf import OmegaConf

from mixlab.runs.reach import reached_files
from mixlab.sweeps.worker import HELD_BACK

signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
# It has nothing to tidy up; torch would take seconds for it, and hold our output open meanwhile.
atexit.register(os._exit, 0)
# Every job asks which files it reaches: so it reads no more than those of its own method.
reached_files(OmegaConf.create({}))
