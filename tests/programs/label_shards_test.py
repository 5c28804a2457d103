"""label --shard: what `auto` makes of a job system's environment, processes that end at the same moment, and the scripts of
docs/scale.md.

    label_shards_test.py LABEL LABEL_WITHOUT_MPI SOURCE_FOLDER
"""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drawn_images import InFolder, differences, draw  # noqa: E402
from mpi_job import ENVIRONMENT, wait_until  # noqa: E402

LABEL, WITHOUT_MPI, SOURCE = sys.argv[1:4]


def array(task, count, low, high, step=None):
    out = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": count, "SLURM_ARRAY_TASK_MIN": low, "SLURM_ARRAY_TASK_MAX": high}
    if step is not None:
        out["SLURM_ARRAY_TASK_STEP"] = step
    return out


class Shards(InFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.words = draw(cls.at("in"), 24)

    def auto(self, variables, word="auto"):
        done = subprocess.run([LABEL, *self.words, "--out", self.at("none"), "--dry-run", "--shard", word], text=True,
                              capture_output=True, env=dict(ENVIRONMENT, **{k: str(v) for k, v in variables.items()}), timeout=60)
        self.assertFalse(os.path.exists(self.at("none")))
        return done

    def test_a_record_that_is_gone_at_the_end_is_told(self):
        out = self.at("robbed")
        robbed = os.path.join(out, "records", "image_00003.json")
        job = subprocess.Popen([LABEL, *self.words, "--out", out, "--threads", "1", "--exp-times", "11"], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=ENVIRONMENT)
        wait_until(lambda: os.path.exists(robbed), 60, "the record of the fourth image")
        os.remove(robbed)
        said, err = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 1, err)
        self.assertIn("24 labelled, 0 kept from before, 0 failed", said)
        self.assertIn("23 of 24 images", said)
        self.assertEqual(err.count("label: 1 images were labelled but are not in the summary, image_00003 first"), 1, err)
        again = subprocess.run([LABEL, *self.words, "--out", out, "--exp-times", "11", "--resume"], text=True, capture_output=True, env=ENVIRONMENT)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("1 labelled, 23 kept from before", again.stdout)

    def test_auto_takes_the_job_systems_numbers(self):
        rank = {"OMPI_COMM_WORLD_RANK": 2, "OMPI_COMM_WORLD_SIZE": 3}
        step = {"SLURM_PROCID": 5, "SLURM_NTASKS": 16, "SLURM_STEP_NUM_TASKS": 6}
        batch = {"SLURM_PROCID": 0, "SLURM_NTASKS": 4}  # of an array's script that is no step
        for variables, expected in (
            (array(0, 20, 0, 19, 1), "1/20"), (array(19, 20, 0, 19, 1), "20/20"),  # --array=0-19
            (array(1, 20, 1, 20), "1/20"), (array(20, 20, 1, 20), "20/20"),  # 1-20
            (array(5, 5, 5, 9, 1), "1/5"), (array(7, 5, 5, 9, 1), "3/5"), (array(9, 5, 5, 9, 1), "5/5"),  # 5-9
            (array(0, 10, 0, 18, 2), "1/10"), (array(18, 10, 0, 18, 2), "10/10"), (array(6, 10, 0, 19, 2), "4/10"),  # 0-18:2
            (array(3, 1, 3, 3, 1), "1/1"),
            ({"SLURM_PROCID": 2, "SLURM_NTASKS": 4}, "3/4"), ({"SLURM_PROCID": 0, "SLURM_NTASKS": 1}, "1/1"),
            (step, "6/6"),
            (rank, "3/3"), ({**step, **rank}, "3/3"),  # mpirun uses srun to reach its hosts
            ({**array(7, 5, 5, 9), **batch}, "3/5"),
            ({**array(7, 5, 5, 9), **step}, "18/30"), ({**array(7, 5, 5, 9), **rank}, "9/15"),
            ({**rank, "SLURM_ARRAY_TASK_ID": ""}, "3/3"),
        ):
            with self.subTest(variables=variables):
                done = self.auto(variables)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stderr, "^shard %s, by " % expected)
                number, of = map(int, expected.split("/"))
                self.assertIn("24 images listed, %d in this run" % len(range(number - 1, 24, of)), done.stdout)

    def test_auto_refuses_what_makes_no_sense(self):
        for variables, sentence in (
            ({}, "neither Slurm (SLURM_ARRAY_TASK_ID, SLURM_PROCID) nor Open MPI (OMPI_COMM_WORLD_RANK) has started"),
            ({"SLURM_ARRAY_TASK_ID": 3}, "SLURM_ARRAY_TASK_COUNT is not set"),
            (array("", 3, 0, 2) | {"SLURM_PROCID": 1}, "SLURM_NTASKS is not set"),
            (array("3x", 20, 0, 19), "SLURM_ARRAY_TASK_ID is '3x'"), (array(" 3", 20, 0, 19), "SLURM_ARRAY_TASK_ID is ' 3'"),
            (array("+3", 20, 0, 19), "SLURM_ARRAY_TASK_ID is '+3'"), (array("-3", 20, 0, 19), "SLURM_ARRAY_TASK_ID is '-3'"),
            (array("99999999999999999999", 20, 0, 19), "SLURM_ARRAY_TASK_ID is '99999999999999999999'"),
            (array(3, 0, 0, 19), "SLURM_ARRAY_TASK_COUNT is '0'"), (array(3, 20, 0, 19, 0), "SLURM_ARRAY_TASK_STEP is '0'"),
            (array(5, 3, 1, 7, 1), "the 3 tasks of the array are not 1-7:1"),  # --array=1,5,7
            (array(20, 20, 0, 19), "or 20 is not among them"), (array(3, 10, 0, 18, 2), "or 3 is not among them"),
            (array(3, 20, 19, 0), "are not 19-0:1"),
            ({"OMPI_COMM_WORLD_RANK": 3, "OMPI_COMM_WORLD_SIZE": 3}, "OMPI_COMM_WORLD_RANK is 3 of OMPI_COMM_WORLD_SIZE 3"),
            ({"SLURM_PROCID": 0, "SLURM_NTASKS": 4}, "the job has 4 tasks, but its script starts label itself; write srun"),
        ):
            with self.subTest(variables=variables):
                done = self.auto(variables)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn("--shard auto: ", done.stderr)
                self.assertIn(sentence, done.stderr)
        for word in ("0/3", "4/3", "1/3x", "+1/3", " 1/3", "1/", "/3", "1", "1/3/5", "99999999999/99999999999", "Auto", "-1/3"):
            done = self.auto({"OMPI_COMM_WORLD_RANK": 0, "OMPI_COMM_WORLD_SIZE": 1}, word)
            self.assertEqual(done.returncode, 2, word)
            self.assertIn("expected I/N with 1 <= I <= N, or auto", done.stderr)

    def test_processes_that_end_at_the_same_moment_leave_one_right_summary(self):
        done = subprocess.run([LABEL, *self.words, "--out", self.at("one")], env=ENVIRONMENT, capture_output=True)
        self.assertEqual(done.returncode, 0)

        def all_at_once(out, *more):
            jobs = [subprocess.Popen([LABEL, *self.words, "--out", self.at(out), "--shard", "%d/4" % i, *more], env=ENVIRONMENT,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in (1, 2, 3, 4)]
            for job in jobs:
                _, err = job.communicate(timeout=60)
                self.assertEqual(job.returncode, 0, err)
            self.assertEqual(differences(self.at("one"), self.at(out)), [])

        for turn in range(6):
            all_at_once("many%d" % turn)
            all_at_once("many%d" % turn, "--resume")  # they do hardly more than the summary

    def test_without_locks_of_files_summaries_at_once_are_whole(self):
        out = self.at("unlocked")
        subprocess.run([LABEL, *self.words, "--out", self.at("locked")], env=ENVIRONMENT, capture_output=True, check=True)
        subprocess.run([LABEL, *self.words, "--out", out], env=ENVIRONMENT, capture_output=True, check=True)
        os.mkdir(os.path.join(out, ".summary.lock"))  # a folder is no file to lock
        for turn in range(8):
            jobs = [subprocess.Popen([LABEL, *self.words, "--out", out, "--resume", "--shard", "%d/6" % i], env=ENVIRONMENT,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(1, 7)]
            for job in jobs:
                _, err = job.communicate(timeout=60)
                self.assertEqual(job.returncode, 0, err)
            self.assertEqual(differences(self.at("locked"), out), [])

    def test_without_mpi_a_sentence_says_how_to_get_it(self):
        done = subprocess.run([WITHOUT_MPI, "--mpi", *self.words, "--out", self.at("none")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("was built without MPI; install Open MPI (on Debian libopenmpi-dev and openmpi-bin)", done.stderr)
        self.assertFalse(os.path.exists(self.at("none")))
        done = subprocess.run([WITHOUT_MPI, *self.words, "--out", self.at("without")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_shard_uses_one_core_unless_told(self):
        def cores(*more, **variables):
            done = subprocess.run([LABEL, *self.words, "--out", self.at("none"), "--dry-run", *more], capture_output=True, text=True,
                                  env=dict(ENVIRONMENT, **variables))
            return int(re.search(r"on one of (\d+) cores", done.stdout)[1])

        self.assertEqual(cores("--shard", "1/2"), 1)
        self.assertEqual(cores("--shard", "1/2", "--threads", "3"), 3)
        self.assertEqual(cores("--shard", "1/2", OMP_NUM_THREADS="5"), 5)
        self.assertEqual(cores(), min(24, len(os.sched_getaffinity(0))))


class Scripts(unittest.TestCase):
    """The scripts of docs/scale.md that people copy."""

    def setUp(self):
        with open(os.path.join(SOURCE, "docs/scale.md")) as file:
            page = file.read()
        self.scripts = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", page, re.S)
        self.assertEqual(len(self.scripts), 2)
        self.folder = tempfile.mkdtemp(prefix="cambium-scripts-")
        for name in ("label", "mpirun", "srun"):
            path = os.path.join(self.folder, name)
            with open(path, "w") as file:
                # mpirun and srun start what they are given, behind their own options
                file.write('#!/bin/bash\necho "%s $*" >> "$CALLS"\n' % name)
                if name == "label":
                    file.write('exec "$LABEL" "$@" --dry-run\n')
                else:
                    file.write('while [ $# -gt 0 ] && [ "$1" != label ]; do shift; done\n"$@"\n')
            os.chmod(path, 0o755)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def sbatch(self, script, variables):
        """As sbatch: the options are read from the script, which then runs with the job's environment."""
        path, calls = os.path.join(self.folder, "script"), os.path.join(self.folder, "calls")
        with open(path, "w") as file:
            file.write(script)
        open(calls, "w").close()
        self.assertEqual(subprocess.run(["bash", "-n", path]).returncode, 0)
        draw(os.path.join(self.folder, "data"), 20)
        environment = dict(ENVIRONMENT, PATH=self.folder + ":" + os.environ["PATH"], CALLS=calls, LABEL=LABEL, **variables)
        done = subprocess.run(["bash", path], cwd=os.path.join(self.folder, "data"), env=environment, capture_output=True, text=True)
        with open(calls) as file:
            return done, file.read().splitlines()

    def test_the_array_job(self):
        script = self.scripts[0]
        first, last = map(int, re.search(r"^#SBATCH --array=(\d+)-(\d+)", script, re.M).groups())
        seen = set()
        for task in range(first, last + 1, max(1, (last - first) // 4)):
            done, calls = self.sbatch(script, {k: str(v) for k, v in array(task, last - first + 1, first, last, 1).items()} |
                                      {"SLURM_CPUS_PER_TASK": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(calls), 1)
            self.assertIn("--resume", calls[0])
            self.assertIn("shard %d/%d, by SLURM_ARRAY_TASK_ID" % (task - first + 1, last - first + 1), done.stderr)
            seen.add(calls[0])
        self.assertEqual(len(seen), 1)  # the same command in each task

    def test_the_mpi_job(self):
        done, calls = self.sbatch(self.scripts[1], {"SLURM_NTASKS": "64", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "4"})
        self.assertIn(calls[0].split()[0], ("mpirun", "srun"))
        self.assertIn("--mpi", calls[-1])
        self.assertIn("--resume", calls[-1])
        self.assertTrue(done.returncode == 0 or "was built without MPI" in done.stderr, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
