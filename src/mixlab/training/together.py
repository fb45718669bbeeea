"""One run trained by ranks that a launcher started: rank 0 leads, the others follow.

Rank 0 hears from all before it writes anything, opens the run folder, decides, and says what it
decided. The others never decide: they train what rank 0 trains, end when it does and as it does,
and print nothing, unless an error is theirs alone.
"""

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.checks import check_partners
from mixlab.config.explain import explain, sentence
from mixlab.config.keys import leaves
from mixlab.data.sampler import check_batch_size
from mixlab.errors import Told, UserError, exit_status, is_user_error, print_error
from mixlab.runs import Run
from mixlab.runs.atomic import write_text
from mixlab.runs.checkpoints import LAST, digest_of
from mixlab.training.meeting import END, LAST_WORDS, WAIT, Meeting, RankZeroGone, use_port
from mixlab.training.ranks import Launch, check_counts, check_gpus

Begin = Callable[[Run], None]
SEEN = 60.0  # seconds for a file to be seen by all nodes: NFS looks again after a minute at most


def train_together(
    cfg: DictConfig, launch: Launch, train: Callable[[DictConfig, Begin], dict[str, Any]]
) -> dict[str, Any]:
    """Train with the other ranks; returns the results in all of them.

    Args:
        train: what rank 0 does; it calls its second argument when it is about to train.

    Raises:
        Told: in all ranks, if the run did not end well.
    """
    return lead_run(cfg, launch, train) if launch.rank == 0 else follow_run(cfg, launch)


def stop_together(error: Exception, launch: Launch, config_name: str) -> int:
    """Print an error that came before a run was opened, once; returns the exit status."""
    try:
        meeting = Meeting.open(launch)
        if launch.rank:
            meeting.tell(f"rank/{launch.rank}", {"error": sentence(error, config_name)})
            if (end := meeting.told(END)) is not None:
                meeting.leave()
                return end["status"]
        explain(error, config_name)
        if launch.rank == 0:
            end_with(meeting, error)
    except RankZeroGone:
        explain(error, config_name)
    return exit_status(error)


def lead_run(
    cfg: DictConfig, launch: Launch, train: Callable[[DictConfig, Begin], dict[str, Any]]
) -> dict[str, Any]:
    """What rank 0 does."""
    try:
        meeting = Meeting.open(launch)
    except RankZeroGone as error:
        explain(error)
        raise Told(str(error), exit_status(error)) from None
    try:
        check_all(meeting, facts_of(cfg, launch))
        results = train(cfg, lambda run: announce(meeting, run))
    except Exception as error:
        explain(error)  # before the others end, as their launcher may then end this one
        end_with(meeting, error)
        raise Told(str(error), exit_status(error)) from error
    except BaseException as error:  # a second Ctrl-C
        end_with(meeting, Told(repr(error), 128 + signal.SIGINT))
        raise
    meeting.tell(END, {"status": 0, "results": results})
    meeting.leave()
    return results


def end_with(meeting: Meeting, error: Exception) -> None:
    """Tell the others how the run ended."""
    try:
        meeting.tell(END, {"status": exit_status(error), "error": sentence(error)})
        meeting.leave()
    except RuntimeError:  # the store has ended, and so will they
        pass


def facts_of(cfg: DictConfig, launch: Launch) -> dict[str, Any]:
    """What rank 0 must know of a rank before it opens a run."""
    import torch

    check_counts(cfg, launch)
    check_gpus(cfg, launch, torch.cuda.device_count())
    if isinstance(rows := cfg.data.get("batch_size"), int):
        check_batch_size(rows, launch.world_size)
        check_partners(cfg, launch.world_size)
    plain = OmegaConf.to_container(cfg, resolve=True)
    return {"host": socket.gethostname(), "config": dict(leaves(plain))}


def check_all(meeting: Meeting, own: dict[str, Any]) -> None:
    """Wait for all ranks; UserError if one is missing, has an error or another configuration."""
    until = time.monotonic() + WAIT
    for rank in range(1, meeting.launch.world_size):
        found = meeting.told(f"rank/{rank}", max(0.0, until - time.monotonic()))
        if found is None:
            raise UserError(f"rank {rank} did not come within {WAIT:.0f} s; see its output")
        if "error" in found:
            raise UserError(f"rank {rank}: {found['error']}")
        for key in {**own["config"], **found["config"]}:
            given, other = (each["config"].get(key) for each in (own, found))
            if str(given) != str(other):
                raise UserError(
                    f"{key} is {given} in rank 0 and {other} in rank {rank} on {found['host']}; "
                    "start all ranks with one command line"
                )


def announce(meeting: Meeting, run: Run) -> None:
    """Tell the others to train this run, once all of them see its folder."""
    others = range(1, meeting.launch.world_size)
    mark = run.folder / ".launch"
    token = f"{meeting.launch.id} {time.time()}"
    try:
        write_text(mark, token)
        begin = {
            "folder": str(run.folder),
            "token": token,
            "config": OmegaConf.to_yaml(run.cfg, resolve=True),
            "record": run.record,
            "last": last_digest(run.folder),
            "port": meeting.fresh_port(),
        }
        meeting.tell("begin", begin)
        for rank in others:
            seen = meeting.told(f"seen/{rank}", WAIT)
            if seen is None:
                raise UserError(f"rank {rank} did not come to {run.folder}; see its output")
            if "error" in seen:
                raise UserError(seen["error"])
    finally:
        mark.unlink(missing_ok=True)
    use_port(begin["port"])
    meeting.tell("go", True)


def last_digest(folder: Path) -> str | None:
    """What tells whether two hosts see the same last checkpoint."""
    last = folder / "checkpoints" / LAST
    return digest_of(last) if last.is_file() else None


def follow_run(cfg: DictConfig, launch: Launch) -> dict[str, Any]:
    """What the other ranks do."""
    warnings.simplefilter("ignore")  # rank 0 has the same to say
    try:
        meeting = Meeting.open(launch)
        begin = join_meeting(meeting, cfg)
    except RankZeroGone as error:
        print_error(f"rank {launch.rank}", str(error))
        raise Told(str(error), exit_status(error)) from None
    if "status" in begin:
        return ended(meeting, begin)
    use_port(begin["port"])
    run = Run(Path(begin["folder"]), DictConfig(OmegaConf.create(begin["config"])))
    run.cfg.allow = cfg.get("allow", [])  # what may be called, this command line says
    run.record = begin["record"]
    from mixlab.callbacks.stopping import as_signal
    from mixlab.training.fit import fit

    try:
        with ending_with_rank_0(meeting):
            results = fit(run)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        stop = as_signal(error)
        if not isinstance(stop, Exception):
            raise
        return ended(meeting, end_after(meeting, stop))
    return ended(meeting, last_word(meeting, "end", WAIT) or {"status": 0, "results": results})


def join_meeting(meeting: Meeting, cfg: DictConfig) -> dict[str, Any]:
    """Say what this rank was given, and what it sees; returns what rank 0 has said at last."""
    me = meeting.launch.rank
    try:
        meeting.tell(f"rank/{me}", facts_of(cfg, meeting.launch))
    except UserError as error:
        meeting.tell(f"rank/{me}", {"error": str(error)})
    begin = require(meeting, "begin")
    if "status" in begin:
        return begin
    meeting.tell(f"seen/{me}", seen(begin, me))
    go = require(meeting, "go")
    return begin if go is True else go


def require(meeting: Meeting, key: str) -> Any:
    """What rank 0 says; an error if that takes too long."""
    if (said := meeting.told(key, 2 * WAIT)) is None:
        raise RankZeroGone(f"rank 0 did not begin to train within {2 * WAIT:.0f} s; see its output")
    return said


def seen(begin: dict[str, Any], rank: int) -> dict[str, str]:
    """Wait until this host sees the folder as rank 0 left it; a sentence if it does not."""
    folder, until = Path(begin["folder"]), time.monotonic() + SEEN
    while time.monotonic() < until:
        try:
            same = (folder / ".launch").read_text() == begin["token"]
            if same and last_digest(folder) == begin["last"]:
                return {}
        except OSError:
            pass
        time.sleep(0.2)
    return {
        "error": f"rank {rank} on {socket.gethostname()} does not see {folder} as rank 0 does: all "
        "ranks need one shared file system; choose a folder on it with paths.log_dir=..."
    }


@contextmanager
def ending_with_rank_0(meeting: Meeting) -> Iterator[None]:
    """Within, this process ends soon after rank 0 has ended with an error.

    It may be in a collective that nobody will ever answer, and that no signal interrupts.
    """
    over = threading.Event()

    def watch() -> None:
        end = None
        while end is None and not over.wait(1.0):
            try:
                end = meeting.told(END, 0.0)
            except RankZeroGone:
                end = {"status": 1}
        if end and end["status"] and not over.wait(LAST_WORDS):
            os._exit(end["status"])

    threading.Thread(target=watch, daemon=True, name="ending-with-rank-0").start()
    try:
        yield
    finally:
        over.set()


def end_after(meeting: Meeting, error: Exception) -> dict[str, Any]:
    """How to end after an error: as rank 0, if it has ended or does with the same error."""
    if (end := last_word(meeting, END, 0.0)) is not None:
        return end  # this error followed from that
    same = sentence(error)
    end = last_word(meeting, END, (3 if is_user_error(error) else 1) * LAST_WORDS)
    if end is None or end["status"] == 0:
        print_error(f"rank {meeting.launch.rank}", "this rank's error:")
        explain(error)
    return {"error": same, **(end or {}), "status": exit_status(error)}


def last_word(meeting: Meeting, key: str, seconds: float) -> Any:
    """What rank 0 has said, or says soon; None if nothing, or if it is gone."""
    try:
        return meeting.told(key, seconds)
    except RankZeroGone:
        return None


def ended(meeting: Meeting, end: dict[str, Any]) -> dict[str, Any]:
    """End as rank 0 does."""
    meeting.leave()
    if end["status"]:
        raise Told(f"rank 0 ended: {end.get('error')}", end["status"])
    return end.get("results") or {}
