"""The program label under MPI on several hosts: two network namespaces with host names of their own, joined by a cable of two
ends (veth). mpirun reaches the second one by an agent that enters it. Needs root and ip.

    label_hosts_test.py LABEL MPIRUN          CAMBIUM_SEED chooses the rank that is killed, and when
"""
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drawn_images import differences, draw  # noqa: E402
from mpi_job import ENVIRONMENT, process_of_rank, records, wait_until  # noqa: E402

IMAGES, RANKS = 400, 4
HOSTS = {"10.77.31.1": "a", "10.77.31.2": "b"}


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


def expects(holds, text):
    if not holds:
        sys.exit("failed: " + text)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def two_hosts(name):
    try:
        try:
            for host in HOSTS.values():
                ip("netns", "add", name + host)
            ip("link", "add", "cable", "netns", name + "a", "type", "veth", "peer", "name", "cable", "netns", name + "b")
            for address, host in HOSTS.items():
                ip("-n", name + host, "addr", "add", address + "/24", "dev", "cable")
                ip("-n", name + host, "link", "set", "lo", "up")
                ip("-n", name + host, "link", "set", "cable", "up")
        except subprocess.CalledProcessError as e:
            if not re.search("not permitted|Permission denied|not supported|Unknown device type", e.stderr):
                raise  # a fault of this test, or what an earlier run left
            skip("no network namespaces can be made here: " + e.stderr.strip())
        yield
    finally:
        for host in HOSTS.values():
            subprocess.run(["ip", "netns", "del", name + host], capture_output=True)


def enter(name, host):
    """Words that run a command on a host, given as one text."""
    return ["ip", "netns", "exec", name + host, "unshare", "--uts", "sh", "-c", 'hostname "$0"; eval "$1"', name + host]


def job(mpirun, name, agent, label, words, out, *more):
    network = "10.77.31.0/24"
    command = [mpirun, "--allow-run-as-root", "--bind-to", "none", "--host", ",".join(a + ":2" for a in HOSTS), "-n", str(RANKS),
               "--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", network, "--mca", "btl_tcp_if_include", network,
               label, "--mpi", *words, "--out", out, *more]
    quoted = " ".join("'%s'" % word for word in command)
    return subprocess.Popen([*enter(name, "a"), "exec " + quoted], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def main(label, mpirun):
    if not mpirun or mpirun.endswith("-NOTFOUND"):
        skip("label was built without MPI, or there is no mpirun (on Debian libopenmpi-dev, openmpi-bin)")
    if os.getuid() != 0:
        skip("only root can make network namespaces")
    for tool in ("ip", "unshare", "hostname"):
        if not shutil.which(tool):
            skip(tool + " is missing")
    seed = int(os.environ.get("CAMBIUM_SEED", random.SystemRandom().randrange(10**6)))
    print("CAMBIUM_SEED=%d" % seed, flush=True)
    dice = random.Random(seed)
    name = "cambium%d" % os.getpid()
    root = tempfile.mkdtemp(prefix="cambium-hosts-")
    try:
        words = draw(os.path.join(root, "in"), IMAGES) + ["--exp-times", "11"]  # so that a job outlives its rank by seconds
        one, many = os.path.join(root, "one"), os.path.join(root, "many")
        subprocess.run([label, *words, "--out", one], env=ENVIRONMENT, check=True, capture_output=True)
        agent = os.path.join(root, "agent")
        with open(agent, "w") as file:
            file.write("#!/bin/sh\nhost=$1\nshift\ncase $host in\n")
            for address, host in HOSTS.items():
                file.write("%s) exec %s \"$*\" ;;\n" % (address, " ".join("'%s'" % w for w in enter(name, host))))
            file.write("esac\necho \"no host $host\" >&2\nexit 1\n")
        os.chmod(agent, 0o755)
        with two_hosts(name):
            began = time.monotonic()
            run = job(mpirun, name, agent, label, words, many)
            hosts = set()
            # a rank's host name is seen in its own namespace
            for rank in range(RANKS):
                pid = wait_until(lambda: process_of_rank(rank, label, many), 60, "rank %d" % rank)
                hosts.add(os.readlink("/proc/%d/ns/net" % pid))
            said, err = run.communicate(timeout=120)
            print("%d images, %d ranks, 2 hosts: %.1f s" % (IMAGES, RANKS, time.monotonic() - began), flush=True)
            expects(run.returncode == 0, said + err)
            expects(len(hosts) == 2, "the ranks were on %d hosts" % len(hosts))
            expects("%d labelled, 0 kept from before, 0 failed" % IMAGES in said, said)
            expects(differences(one, many) == [], "the outputs differ: %s" % differences(one, many))

            out = os.path.join(root, "killed")
            rank, moment = dice.randrange(RANKS), dice.randrange(1, IMAGES // 4)
            run = job(mpirun, name, agent, label, words, out)
            wait_until(lambda: records(out) >= moment or run.poll() is not None, 120, "%d records" % moment)
            pid = process_of_rank(rank, label, out)
            expects(pid, "rank %d had ended before it was killed" % rank)
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            said, err = run.communicate(timeout=30)
            ended, left = time.monotonic() - killed, records(out)
            print("rank %d killed after %d images: the job ended %.1f s later, with %d" % (rank, moment, ended, left), flush=True)
            expects(ended < 15, "the job took %.1f s to end" % ended)
            expects(run.returncode != 0 and left < IMAGES, "status %d with %d images" % (run.returncode, left))
            expects("The same command with --resume does only what is missing." in err, err)
            run = job(mpirun, name, agent, label, words, out, "--resume")
            said, err = run.communicate(timeout=120)
            expects(run.returncode == 0, said + err)
            expects("%d labelled, %d kept from before, 0 failed" % (IMAGES - left, left) in said, said)
            expects(differences(one, out) == [], "the outputs differ: %s" % differences(one, out))
    finally:
        shutil.rmtree(root)
    print("the outputs are those of one process")


if __name__ == "__main__":
    main(*sys.argv[1:])
