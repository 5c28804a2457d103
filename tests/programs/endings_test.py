#!/usr/bin/env python3
"""The tables of how members of tar shards end: label's, Python's and the manual's say the same."""
import importlib.util
import re
import sys
import unittest
from pathlib import Path

HOME = Path(__file__).parents[2]
sys.dont_write_bytecode = True


def of_python():
    spec = importlib.util.spec_from_file_location("shards", HOME / "examples/python/pycambium/shards.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["shards"] = module
    spec.loader.exec_module(module)
    return module


def of_label():
    """Flag and ending of each input, endings of photographs, and of outputs that are none."""
    text = (HOME / "examples/label/shards.cpp").read_text()
    inputs = re.search(r"usual_endings\[\] = \{(.*?)\};", text, re.DOTALL)[1]
    photographs = re.search(r"ending : \{(.*?)\}\)", text)[1]
    outputs = re.search(r"of_outputs\[\] = \{(.*?)\};", text, re.DOTALL)[1]
    quoted = '"([^"]+)"'
    return (dict(re.findall(rf"\{{{quoted}, {quoted}\}}", inputs)), re.findall(quoted, photographs),
            re.findall(quoted, outputs))


class Endings(unittest.TestCase):
    def test_label_and_python(self):
        inputs, photographs, outputs = of_label()
        python = of_python()
        self.assertEqual(tuple(photographs), python.ENDINGS["image"])
        truth = {ending for flag, ending in inputs.items() if flag.startswith("--truth-")}
        self.assertEqual(truth, set(python._TRUTH))
        read = {ending for column, endings in python.ENDINGS.items() if column != "image" for ending in endings}
        self.assertEqual(set(inputs.values()) - truth, read)
        self.assertLessEqual(set(outputs), set(python.OUTPUT_ENDINGS.values()))
        flags = re.findall(r'^    "(\w+)": \("(--[a-z-]+)", "\w+"\),$',
                           (HOME / "examples/python/pycambium/labelling.py").read_text(), re.MULTILINE)
        self.assertEqual(set(dict(flags)), set(python.ENDINGS))
        for column, flag in flags:
            if column != "image":
                self.assertEqual(python.ENDINGS[column], (inputs[flag],), column)

    def test_the_manual(self):
        inputs, photographs, _ = of_label()
        text = (HOME / "docs/formats.md").read_text()
        table = re.search(r"^\| member \| flag .*?\n\n", text, re.DOTALL | re.MULTILINE)[0]
        rows = [line.split(" | ") for line in table.splitlines()[2:] if line]
        said = {}
        for row in rows:
            endings = re.findall(r"`(?:<id>)?(\.[\w.]+)`", row[0])
            flags = re.findall(r"`(--[a-z-]+)`", row[1])
            if flags == ["--images"]:
                self.assertEqual(endings, photographs)
            else:
                self.assertEqual(len(endings), len(flags), row)
                said.update(zip(flags, endings))
        self.assertEqual(said, inputs)


if __name__ == "__main__":
    unittest.main()
