"""Stand-ins for other packages: same names, argument order and results, computed by pycambium."""

from __future__ import annotations

import importlib
import sys

__all__ = ["init_as_pydensecrf"]

_PYDENSECRF = ("pydensecrf", "pydensecrf.densecrf", "pydensecrf.utils")


def init_as_pydensecrf(*, force: bool = False) -> None:
    """Make later imports of pydensecrf, pydensecrf.densecrf and pydensecrf.utils import ours.

    force  also where pydensecrf itself was imported already; who holds it keeps it

    Raises RuntimeError if pydensecrf itself was imported already.
    """
    ours = {name: importlib.import_module(f"{__name__}.{name}") for name in _PYDENSECRF}
    others = [
        name
        for name in sys.modules
        if name.split(".")[0] == "pydensecrf" and sys.modules[name] is not ours.get(name)
    ]
    if others and not force:
        raise RuntimeError(
            f"init_as_pydensecrf: {others[0]} itself was imported already; call this before, or "
            "say force=True"
        )
    for name in others:
        del sys.modules[name]
    sys.modules.update(ours)
