#!/usr/bin/env python3
"""convert_cams.py, run as people run it. Status 77: there is no numpy."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy
except ImportError:
    sys.exit(77)

PROGRAM = Path(__file__).parents[2] / "examples/label/convert_cams.py"
CAM = numpy.arange(24, dtype="f4").reshape(2, 3, 4)


class ConvertCams(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "in").mkdir()

    def put(self, name, content):
        numpy.save(self.root / "in" / f"{name}.npy", content, allow_pickle=True)

    def run_it(self, *flags):
        command = [sys.executable, PROGRAM, *flags, self.root / "in", self.root / "out"]
        return subprocess.run(command, capture_output=True, text=True)

    def written(self):
        out = self.root / "out"
        return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())

    def test_irnet_and_class_maps_are_converted(self):
        self.put("a", {"keys": numpy.array([6, 2]), "cam": CAM, "high_res": numpy.ones((2, 9, 16), "f4")})
        self.put("seam", {14: CAM[1], 3: CAM[0].astype("f2")})
        self.put("words", {"14": CAM[1], "3": CAM[0]})
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(self.written(), ["a.npy", "seam.npy", "tags.txt", "words.npy"])
        self.assertEqual((self.root / "out/tags.txt").read_text(), "a 7 3\nseam 4 15\nwords 4 15\n")
        for name in ("a", "seam", "words"):
            got = numpy.load(self.root / f"out/{name}.npy")
            self.assertEqual(got.dtype, numpy.float32)
            self.assertTrue((got == CAM).all())

    def test_ids_with_blanks_are_in_quotes(self):
        for name in ("img 1", "img # 3", 'say "hi"', "#5", "plain", "a\u2028b"):
            self.put(name, {1: CAM[0]})
        self.assertEqual(self.run_it().returncode, 0)
        want = '"#5" 2\n"a\u2028b" 2\n"img # 3" 2\n"img 1" 2\n"plain" 2\n"say ""hi""" 2\n'
        self.assertEqual((self.root / "out/tags.txt").read_text(), want)
        for file in (self.root / "in").iterdir():
            file.unlink()
        self.put("img 2", {4: CAM[0]})  # a later run keeps the lines of the first
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual((self.root / "out/tags.txt").read_text(), want.replace('"plain"', '"img 2" 5\n"plain"'))

    def test_what_cannot_be_converted_is_said_and_not_written(self):
        needed = "needed is IRNet's dictionary {'keys', 'cam', 'high_res'} or a dictionary {class: map}"
        wrong = {
            "empty": ({}, f"holds a dictionary without keys; {needed}"),
            "other": ({"cam": CAM, "logits": 1}, f"holds a dictionary with the keys 'cam', 'logits'; {needed}"),
            "plain": (CAM, "holds an array float32 [2, 3, 4], which is no pickle: label reads arrays [C,h,w] as they are"),
            "nan": ({1: CAM[0] * numpy.nan}, "the map of class 1 holds values that are not finite"),
            "shape": ({1: CAM}, "the map of class 1 is [2, 3, 4]; [h,w] is needed, alike for all classes"),
            "twice": ({"keys": [1, 1], "cam": CAM}, "a class stands twice in its keys: [1, 1]"),
            "few": ({"keys": [1], "cam": CAM}, "cam is [2, 3, 4], but there are 1 keys; [C,h,w] is needed"),
            "complex": ({1: CAM[0].astype("c8")}, "the map of class 1 holds complex numbers"),
            "flags": ({"keys": numpy.array([True, False]), "cam": CAM}, "class True is no number"),
            "large": ({"keys": [1, 254], "cam": CAM}, "class 254 is outside 0..253"),
        }
        for name, (content, _) in wrong.items():
            self.put(name, content)
        (self.root / "in/text.npy").write_text("hello")
        (self.root / "in/none.npy").write_bytes(b"")
        got = self.run_it()
        self.assertEqual((got.returncode, got.stdout), (1, f"0 converted, {len(wrong) + 2} failed\n"))
        for name, (_, reason) in wrong.items():
            self.assertIn(f"{name}.npy: {reason}\n", got.stderr)
        self.assertIn(f"text.npy: is no npy file; {needed}", got.stderr)
        self.assertIn("none.npy: is empty", got.stderr)
        self.assertFalse((self.root / "out").exists())

    def test_high_res_is_written_with_its_cam_or_not_at_all(self):
        self.put("a", {"keys": [0], "cam": CAM[:1], "high_res": CAM[:1]})
        self.put("b", {"keys": [0], "cam": CAM[:1]})
        self.put("c", {0: CAM[0]})
        got = self.run_it("--high-res")
        self.assertEqual(got.returncode, 1)
        self.assertIn("b.npy: has no 'high_res', which --high-res asks for", got.stderr)
        self.assertIn("c.npy: holds {class: map}; --high-res is for IRNet's files", got.stderr)
        self.assertEqual(self.written(), ["a.npy", "high_res/a.npy", "tags.txt"])

    def test_files_that_are_left_out_are_counted(self):
        self.put("a", {0: CAM[0]})
        (self.root / "in/a.npy").rename(self.root / "in/A.NPY")
        self.put("b", {0: CAM[0]})
        (self.root / "in/l.npy").symlink_to("nowhere.npy")
        (self.root / "in/m.npy").symlink_to("nowhere.npy")
        (self.root / "in/folder.npy").mkdir()
        got = self.run_it()
        self.assertEqual((got.returncode, got.stdout), (0, "1 converted, 0 failed\n"))
        self.assertIn("1 file with an ending in capitals is left out: A.NPY\n", got.stderr)
        self.assertIn("2 files that cannot be opened are left out: l.npy, ...\n", got.stderr)
        self.assertEqual(self.written(), ["b.npy", "tags.txt"])

    def test_its_input_is_never_written_over(self):
        folder = self.root / "out/high_res"
        folder.mkdir(parents=True)
        numpy.save(folder / "a.npy", {"keys": [0], "cam": CAM[:1], "high_res": CAM[:1]}, allow_pickle=True)
        before = (folder / "a.npy").read_bytes()
        for out, *flags in ((folder,), (self.root / "out", "--high-res")):
            got = subprocess.run([sys.executable, PROGRAM, *flags, folder, out], capture_output=True, text=True)
            self.assertEqual(got.returncode, 1)
            self.assertIn("is the folder of the files to convert", got.stderr)
        self.assertEqual((folder / "a.npy").read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
