"""Imported first by the fork server, to hold back signals that are sent to a whole group.

A closing terminal, `kill` of a process group and SLURM signal the server too. If it died, the exit
codes of its jobs would be lost. So it blocks these signals, and each job unblocks them.
"""

import atexit
import gc
import os
import signal

from omegaconf import OmegaConf

from mixlab.runs.reach import reached_files
from mixlab.sweeps.worker import HELD_BACK

gc.disable()  # the libraries, imported next, stay; a job that is forked enables it again
signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
# Nothing needs cleaning up; torch would take seconds for it, and keep our output open meanwhile.
atexit.register(os._exit, 0)
# Every job asks which files it reaches: with this, it only has to read those of its own method.
reached_files(OmegaConf.create({}))
