"""Jobs of a sweep as jobs of a SLURM cluster.

The launcher submits a job array and follows it. The run folders say how a run ended, the queue says
who trains it, and nothing else is remembered: whoever dies, the same command finds both again.
"""
