"""Jobs of a sweep as jobs of a SLURM cluster.

The launcher submits a job array and follows it. The run folders say how a run ended, the queue says
who trains it, and nothing else is remembered: whoever dies, the same command finds both again.

It calls SLURM's own programs and not submitit, whose jobs are pickled functions: there a launcher
waits for ever for a killed job if the cluster has no accounting, and submitit's signal handler
takes the place of the one that saves a checkpoint.
"""
