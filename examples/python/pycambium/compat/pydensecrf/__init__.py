"""pydensecrf's modules, computed by this package: `densecrf` and `utils`."""

from . import densecrf, utils

__all__ = ["densecrf", "utils"]
