"""Modules that are imported when something of them is used, and not before."""

from __future__ import annotations

import importlib.util
import sys


def defer_import(name: str) -> None:
    """Import a module of a package when something of it is first used.

    Nothing happens if it was imported, or does not exist. Only for modules that one thread uses:
    before Python 3.12, two that use it first at the same time may find half of it.

    Parameters
    ----------
    name : str
        Name of the module, with that of its package, which is imported.

    Notes
    -----
    The recipe of :class:`importlib.util.LazyLoader` in Python's documentation.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    package, _, attribute = name.rpartition(".")
    setattr(sys.modules[package], attribute, module)
