"""A job of mpirun, for tests of the program label: its command line and its processes."""
import os
import re
import time

ENVIRONMENT = {k: v for k, v in os.environ.items() if not re.match(r"SLURM_|OMPI_|PMIX_|OMP_NUM", k)}


def mpirun_words(mpirun, ranks, *more):
    root = ["--allow-run-as-root"] if os.getuid() == 0 else []
    return [mpirun, *root, "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *more]


def process_of_rank(rank, program, out):
    """The process of a rank that writes to `out`, or None."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
            if words[0] != program.encode() or out.encode() not in words:
                continue
            with open("/proc/%s/environ" % pid, "rb") as file:
                if b"OMPI_COMM_WORLD_RANK=%d" % rank in file.read().split(b"\0"):
                    return int(pid)
        except OSError:
            continue
    return None


def wait_until(holds, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = holds()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("after %d s there was still not: %s" % (seconds, what))


def records(out):
    """How many images of an output folder have their record."""
    folder = os.path.join(out, "records")
    return sum(name.endswith(".json") for name in os.listdir(folder)) if os.path.isdir(folder) else 0
