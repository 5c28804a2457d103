"""Cases made by running the originals: CAMBIUM_GOLDEN names their folder.

Without it their tests are skipped.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest


class Case:
    def __init__(self, path: Path):
        self.path = path
        self.manifest = json.loads((path / "manifest.json").read_text())
        self.params = self.manifest["params"]
        self.arrays = {entry["name"]: entry for entry in self.manifest["arrays"]}

    def __getitem__(self, name: str) -> np.ndarray:
        return np.load(self.path / self.arrays[name]["file"])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def close(self, got: np.ndarray, name: str) -> None:
        """Compare as the manifest says."""
        rule = self.arrays[name]["compare"]
        if rule["mode"] == "close":
            np.testing.assert_allclose(got, self[name], atol=rule["atol"], rtol=rule["rtol"])
        elif rule["mode"] == "exact_except":
            np.testing.assert_array_equal(np.where(self[rule["mask"]], self[name], got), self[name])
        else:
            assert rule["mode"] == "exact"
            np.testing.assert_array_equal(got, self[name])


def golden_cases(system: str, stage: str):
    """Parameters of a test: the cases of a stage."""
    root = os.environ.get("CAMBIUM_GOLDEN")
    if not root:
        return [pytest.param(None, marks=pytest.mark.skip(reason="CAMBIUM_GOLDEN is not set"))]
    paths = sorted((Path(root) / system / stage).iterdir())
    assert paths
    return [pytest.param(Case(path), id=path.name) for path in paths]
