"""Calls in this thread, one after another."""

from __future__ import annotations

from facet_nb.core.backends.base import Backend


class SerialBackend(Backend):
    """Calls run in this thread, one after another."""

    name = "serial"
    label = "one after another, in this process"
    short_label = "serial"
    rank = 0
    color = "#595959"
