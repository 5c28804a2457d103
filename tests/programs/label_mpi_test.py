"""The program label under MPI on this machine, as people start it.

    label_mpi_test.py LABEL MPIRUN
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drawn_images import InFolder, differences, draw  # noqa: E402
from mpi_job import ENVIRONMENT, mpirun_words, process_of_rank, records, wait_until  # noqa: E402

LABEL, MPIRUN = sys.argv[1], sys.argv[2]


def run(words, environment=None, seconds=120):
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, env=environment or ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


class Mpi(InFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.words = draw(cls.at("in"), 60)
        # two images fail: one lacks a file, one holds a damaged one
        os.remove(cls.at("in/cams/image_00041.npy"))
        with open(cls.at("in/edges/image_00007.npy"), "wb") as file:
            file.write(b"\x93NUMPY, or so")
        cls.status, cls.out, cls.err = run([LABEL, *cls.words, "--out", cls.at("one")])

    def label(self, ranks, out, *more, words=None):
        return run(mpirun_words(MPIRUN, ranks, LABEL, "--mpi", *(words or self.words), "--out", self.at(out), *more))

    def same_words(self, text):
        """What both runs say of their results, whatever the time and the folder."""
        return re.sub(r" in [0-9.]+ (s|min|h);|/\S*/(one|r\d+)\b", "", text)

    def test_bytes_messages_and_status_are_those_of_one_process(self):
        self.assertEqual(self.status, 1, self.err)
        self.assertIn("2 of 60 images failed", self.err)
        ours = self.err[self.err.index("2 of 60 images failed"):]
        for ranks, threads in ((1, 2), (2, 1), (4, 1), (3, 2)):
            with self.subTest(ranks=ranks, threads=threads):
                out = "r%d%d" % (ranks, threads)
                status, said, err = self.label(ranks, out, "--threads", str(threads))
                self.assertEqual(status, 1, err)
                self.assertEqual(differences(self.at("one"), self.at(out)), [])
                self.assertEqual(self.same_words(said), self.same_words(self.out))
                self.assertEqual(len(re.findall("58 labelled, 0 kept from before, 2 failed", said)), 1)
                self.assertIn(ours.strip(), err)  # the list at the end: in the order of the images
                self.assertEqual(err.count("60/60 images"), 1)
                self.assertEqual(err.count("failed: "), 2)

    def slow_words(self, images):
        """Inputs of that many equal images, which take some tens of milliseconds each."""
        folder = "slow%d" % images
        words = draw(self.at(folder), 1, width=300, height=240)
        for kind in os.listdir(self.at(folder)):
            (name,) = os.listdir(self.at(folder + "/" + kind))
            for i in range(1, images):
                shutil.copy(self.at("%s/%s/%s" % (folder, kind, name)), self.at("%s/%s/%s" % (folder, kind, name.replace("00000", "%05d" % i))))
        return words

    def test_images_go_to_whoever_is_free(self):
        # a halted rank keeps what it had taken: one image a thread, or what it does in a tenth of a second
        for images, threads, kept in ((60, 1, 8), (200, 8, 16)):
            with self.subTest(threads=threads):
                words, out = self.slow_words(images), self.at("r_slow%d" % threads)
                job = subprocess.Popen(mpirun_words(MPIRUN, 2, LABEL, "--mpi", *words, "--threads", str(threads), "--out", out),
                                       env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    wait_until(lambda: records(out) >= 3, 60, "three images labelled")
                    halted = process_of_rank(1, LABEL, out)
                    os.kill(halted, signal.SIGSTOP)
                    wait_until(lambda: records(out) >= images - kept, 120, "rank 0 at the end")
                    time.sleep(1)
                    self.assertIsNone(job.poll())
                    os.kill(halted, signal.SIGCONT)
                    self.assertEqual(job.wait(60), 0)
                    self.assertEqual(records(out), images)
                finally:
                    job.kill()

    def test_a_run_that_is_ended_says_how_to_go_on(self):
        words = draw(self.at("ended"), 300, seed=3) + ["--exp-times", "11"]
        job = subprocess.Popen([LABEL, "--mpi", *words, "--out", self.at("r_ended")], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
        wait_until(lambda: records(self.at("r_ended")) >= 3, 60, "three images labelled")
        job.terminate()  # as Slurm does at the end of a job's time
        err = job.communicate(timeout=15)[1]
        self.assertEqual(err.count("ended before all images were labelled; if a rank died, mpirun names it"), 1, err)
        self.assertEqual(err.count("The same command with --resume does only what is missing."), 1, err)

    def test_a_killed_rank_ends_the_job_and_says_how_to_go_on(self):
        words = draw(self.at("many"), 300, seed=2) + ["--exp-times", "11"]  # so that the job outlives its rank by seconds
        self.assertEqual(run([LABEL, *words, "--out", self.at("many_one")])[0], 0)
        for rank in (0, 2):
            with self.subTest(rank=rank):
                heard = []
                # mpirun drops what a rank that it ends says late: one of three jobs must have said it
                for attempt in range(3):
                    heard.append(self.kill_and_resume(rank, words, self.at("r_killed%d_%d" % (rank, attempt))))
                    if heard[-1]:
                        break
                self.assertEqual(heard[-1], 1)

    def kill_and_resume(self, rank, words, out):
        """Kills a rank of a job, and labels the rest. Returns how often the job said how to go on."""
        job = subprocess.Popen(mpirun_words(MPIRUN, 3, LABEL, "--mpi", *words, "--out", out), env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: records(out) >= 20, 60, "20 images labelled")
        os.kill(process_of_rank(rank, LABEL, out), signal.SIGKILL)
        of_killed, _ = job.communicate(timeout=15)
        self.assertNotEqual(job.returncode, 0)
        self.assertIn("rank %d" % rank, of_killed)  # mpirun's words
        left = records(out)
        self.assertLess(left, 300, "the rank was killed too late")
        status, said, err = run(mpirun_words(MPIRUN, 3, LABEL, "--mpi", *words, "--out", out, "--resume"))
        self.assertEqual(status, 0, err)
        self.assertIn("%d labelled, %d kept from before, 0 failed" % (300 - left, left), said)
        self.assertEqual(differences(self.at("many_one"), out), [])
        return of_killed.count("The same command with --resume does only what is missing.")

    def test_resume_labels_only_what_is_missing(self):
        self.label(2, "r_again")
        for name in ("image_00003", "image_00050"):
            os.remove(self.at("r_again/records/%s.json" % name))
        status, said, err = self.label(3, "r_again", "--resume")
        self.assertEqual(status, 1, err)
        self.assertIn("2 labelled, 56 kept from before, 2 failed", said)
        self.assertEqual(differences(self.at("one"), self.at("r_again")), [])

    def pack(self, name, count, each):
        """Writes drawn images into tar shards. Returns the command line of label, without --out."""
        draw(self.at(name), count, seed=5)
        members = (("images", ".png", ".png"), ("cams", ".npy", ".cam.npy"), ("edges", ".npy", ".boundary.npy"),
                   ("semantic", ".png", ".truth_semantic.png"), ("instances", ".png", ".truth_instances.png"))
        for shard in range(count // each):
            with tarfile.open(self.at("%s-%d.tar" % (name, shard)), "w") as to:
                for i in range(shard * each, (shard + 1) * each):
                    for kind, ending, member in members:
                        to.add(self.at("%s/%s/image_%05d%s" % (name, kind, i, ending)), arcname="image_%05d%s" % (i, member))
        return ["--images", self.at("%s-{0..%d}.tar" % (name, count // each - 1))]

    def test_shards_go_to_whoever_is_free(self):
        status, _, err = run([LABEL, "--images", "none.tar", "--out", self.at("none")])
        if "without libarchive" in err:
            self.skipTest(err)
        words = self.pack("set", 40, 5)
        for folder in ("t1", "f1"):
            status, said, err = run([LABEL, *words, "--out", self.at(folder), *(["--files"] if folder == "f1" else [])])
            self.assertEqual(status, 0, err)
        for ranks, threads in ((2, 1), (4, 1), (3, 2)):
            with self.subTest(ranks=ranks, threads=threads):
                for folder, more in (("t1", ()), ("f1", ("--files",))):
                    out = "%s-%d" % (folder, ranks)
                    status, said, err = self.label(ranks, out, "--threads", str(threads), *more, words=words)
                    self.assertEqual(status, 0, err)
                    self.assertIn("40 labelled, 0 kept from before, 0 failed", said)
                    self.assertEqual(differences(self.at(folder), self.at(out)), [])
        os.remove(self.at("t1-4/labels-3.json"))
        status, said, err = self.label(2, "t1-4", "--resume", words=words)
        self.assertEqual(status, 0, err)
        self.assertIn("5 labelled, 35 kept from before, 0 failed", said)
        self.assertEqual(differences(self.at("t1"), self.at("t1-4")), [])
        for folder in ("t1", "t1-4"):
            self.assertEqual(run([LABEL, "--join", self.at(folder)])[0], 0)
        self.assertEqual(differences(self.at("t1"), self.at("t1-4")), [])
        # ranks that write files need one folder; shards may have one each
        for folder in ("here", "there"):
            os.makedirs(self.at(folder))
        job = [*mpirun_words(MPIRUN, 1), "-wdir", self.at("here"), LABEL, "--mpi", *words, "--out", "o", "--files", ":",
               "-n", "1", "-wdir", self.at("there"), LABEL, "--mpi", *words, "--out", "o", "--files"]
        status, said, err = run(job)
        self.assertEqual(status, 2, err)
        self.assertIn("is not the folder that rank 0 writes to", said + err)
        status, said, err = run(["p" if word == "o" else word for word in job if word != "--files"])
        self.assertEqual(status, 0, err)
        self.assertIn("40 labelled, 0 kept from before, 0 failed", said)
        for name in os.listdir(self.at("there/p")):  # into one folder, for --join
            shutil.copy(self.at("there/p/" + name), self.at("here/p/" + name))
        self.assertEqual(run([LABEL, "--join", self.at("here/p")])[0], 0)
        self.assertEqual(differences(self.at("t1"), self.at("here/p")), [])
        # the same labels as those of files
        for name in ("detections.json", "manifest.json", "scores.json"):
            with open(self.at("t1/" + name), "rb") as one, open(self.at("f1/" + name), "rb") as other:
                self.assertEqual(one.read(), other.read(), name)

    def test_dry_run_is_one_ranks(self):
        status, said, err = self.label(4, "r_dry", "--dry-run")
        self.assertEqual(status, 1, err)
        self.assertEqual(said.count("60 images listed, 60 in this run, 1 files missing"), 1)
        self.assertRegex(said, "on one of 4 cores")
        self.assertFalse(os.path.exists(self.at("r_dry")))

    def refused(self, sentence, *words, ranks=4):
        status, said, err = run(mpirun_words(MPIRUN, ranks, LABEL, "--mpi", *words))
        self.assertEqual(status, 2, err)
        self.assertEqual((said + err).count(sentence), 1, said + err)

    def test_wrong_command_lines_are_said_once(self):
        self.refused("--out is required", *self.words)
        self.refused("--beta: ", *self.words, "--out", self.at("r_no"), "--beta", "-1")
        self.refused("--mpi hands out the images itself", *self.words, "--out", self.at("r_no"), "--shard", "1/2")
        self.refused("--mpi hands out the images itself", *self.words, "--out", self.at("r_no"), "--shard", "auto")
        self.refused("no file matches", "--images", self.at("{id}.none"), "--cams", "/none/{id}.npy", "--boundaries",
                     "/none/{id}.npy", "--out", self.at("r_no"))
        self.refused("is an input, but would be written over", *self.words, "--out", self.at("in"))
        self.refused("is a flag of --method boxes", *self.words, "--out", self.at("r_no"), "--mu", "{id}")
        self.assertFalse(os.path.exists(self.at("r_no")))
        self.assertFalse(os.path.exists(self.at("in/records")))

    def test_help_is_said_once(self):
        status, said, err = run(mpirun_words(MPIRUN, 3, LABEL, "--mpi", "--help"))
        self.assertEqual(status, 0, err)
        self.assertEqual(said.count("--boundaries"), 1)

    def test_a_rank_that_cannot_go_on_is_named(self):
        # rank 1 does not find the names of the classes, as on a host that lacks a file system
        good = self.at("names")
        boxes = ["--method", "boxes", "--boxes", "/none/{id}.xml", "--mu", "/none/{id}.npy", "--log-variance",
                 "/none/{id}.npy", "--out", self.at("r_no")]
        with open(good, "w") as file:
            file.write("cat\n")
        status, said, err = run(mpirun_words(MPIRUN, 1, LABEL, "--mpi", *boxes, "--names", good, ":", "-n", "1", LABEL, "--mpi", *boxes,
                                       "--names", good + ".gone"))
        self.assertEqual(status, 2, err)
        self.assertRegex(err, r"label: rank 1 on \S+: \S*names\.gone: No such file")
        self.assertFalse(os.path.exists(self.at("r_no")))

    def one_differs(self, sentence, mine, others):
        """A job of two ranks whose command lines end differently is refused."""
        status, said, err = run(mpirun_words(MPIRUN, 1, LABEL, "--mpi", *self.words, "--out", self.at("r_no"), *mine, ":", "-n", "1",
                                             LABEL, "--mpi", *self.words, "--out", self.at("r_no"), *others))
        self.assertEqual(status, 2, said + err)
        self.assertEqual(len(re.findall(sentence, err)), 1, said + err)
        self.assertNotIn("MPI_ERR", err)
        self.assertFalse(os.path.exists(self.at("r_no")))

    def test_ranks_of_other_parameters_are_named(self):
        named = r"label: rank 1 on \S+: its %s differs from rank 0's: %s"
        self.one_differs(named % ("run", "parameters/beta is 10.0 instead of 8.0"), ["--beta", "8"], ["--beta", "10"])
        self.one_differs(named % ("run", "parameters/overlay is true instead of false"), [], ["--overlay"])
        self.one_differs(named % ("command line", "--resume is true instead of false"), [], ["--resume"])
        self.one_differs(named % ("command line", "--dry-run is false instead of true"), ["--dry-run"], [])
        without_truth = self.words[:self.words.index("--truth-semantic")]
        status, said, err = run(mpirun_words(MPIRUN, 1, LABEL, "--mpi", *without_truth, "--out", self.at("r_no"), ":", "-n", "1", LABEL,
                                             "--mpi", *self.words, "--out", self.at("r_no")))
        self.assertEqual(status, 2, err)
        self.assertRegex(err, named % ("run", "parameters/scored is true"))
        self.assertFalse(os.path.exists(self.at("r_no")))

    def test_a_wrong_command_line_of_one_rank_is_named(self):
        self.one_differs(r"label: rank 1 on \S+: --beta: ", [], ["--beta", "-1"])
        self.one_differs(r"label: --beta: ", ["--beta", "-1"], [])
        self.one_differs(r"label: rank 1 on \S+: .*--no-such-flag", [], ["--no-such-flag"])
        self.one_differs(r"label: rank 1 on \S+: --mpi hands out the images itself", [], ["--shard", "1/2"])
        self.one_differs(r"label: rank 1 on \S+: its command line differs from rank 0's: --help", [], ["--help"])

    def test_processes_that_would_label_the_same_images_are_refused(self):
        words = [*self.words, "--out", self.at("r_no")]
        status, said, err = run(mpirun_words(MPIRUN, 2, LABEL, *words))
        self.assertEqual(status, 2, err)
        self.assertIn("this is one of 2 processes, by OMPI_COMM_WORLD_SIZE, and each of them would label all images", err)
        self.assertFalse(os.path.exists(self.at("r_no")))
        self.refused("--mpi=true: --mpi takes no value", *words, "--mpi=true", ranks=2)
        status, said, err = run(mpirun_words(MPIRUN, 2, LABEL, *words, "--mpi=true"))
        self.assertEqual((status, err.count("--mpi takes no value")), (2, 1), err)
        self.assertFalse(os.path.exists(self.at("r_no")))
        for variable in ("SLURM_STEP_NUM_TASKS", "PMI_SIZE"):
            status, said, err = run([LABEL, *words], dict(ENVIRONMENT, **{variable: "3"}))
            self.assertEqual(status, 2, err)
            self.assertIn("one of 3 processes, by " + variable, err)
        self.assertFalse(os.path.exists(self.at("r_no")))
        # one that is to label all says so
        status, said, err = run(mpirun_words(MPIRUN, 2, LABEL, *self.words, "--shard", "1/1", "--dry-run", "--out", self.at("r_no")))
        self.assertEqual(status, 1, err)
        self.assertEqual(said.count("60 images listed, 60 in this run"), 2)

    def test_ranks_must_see_one_output_folder(self):
        status, said, err = run(mpirun_words(MPIRUN, 1, LABEL, "--mpi", *self.words, "--out", self.at("r_a"), ":", "-n", "2", LABEL, "--mpi",
                                       *self.words, "--out", self.at("r_b")))
        self.assertEqual(status, 2, err)
        self.assertRegex(err, r"rank [12] on \S+: --out \S*r_b: is not the folder that rank 0 writes to")
        self.assertFalse(os.path.exists(self.at("r_b")))
        self.assertEqual(os.listdir(self.at("r_a/records")), [])

    def test_without_mpirun_it_is_one_rank(self):
        status, said, err = run([LABEL, "--mpi", *self.words, "--out", self.at("r_single")])
        self.assertEqual(status, 1, err)
        self.assertEqual(differences(self.at("one"), self.at("r_single")), [])

    def test_srun_that_joins_nobody_is_told(self):
        status, said, err = run([LABEL, "--mpi", *self.words, "--out", self.at("r_no")],
                                dict(ENVIRONMENT, SLURM_STEP_NUM_TASKS="16"))
        self.assertEqual(status, 2, err)
        self.assertIn("one of 16 processes, by SLURM_STEP_NUM_TASKS, but MPI does not join them", err)
        self.assertFalse(os.path.exists(self.at("r_no")))


if __name__ == "__main__":
    if MPIRUN.endswith("-NOTFOUND") or not MPIRUN:
        print("skipped: label was built without MPI, or there is no mpirun (on Debian libopenmpi-dev, openmpi-bin)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
