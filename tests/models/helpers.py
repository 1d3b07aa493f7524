"""Steps and recordings that the tests of models and widgets share."""

from __future__ import annotations

import threading
import time

import numpy as np

from facet_nb.core import ArrayProcessor, ProcessingContext, Processor
from facet_nb.datasets import simulate


def make_simulation(n_channels: int = 4):
    """Return a small simulation."""
    return simulate(n_channels, 500.0, 15.0, lead_in_s=2.0, lead_out_s=2.0)


class Halve(ArrayProcessor):
    """Halves the signal, in a time of one's choice."""

    name = "halve"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def compute(self, x, prepared, out=None):
        time.sleep(self.seconds * len(x))
        return np.multiply(x, 0.5, out=out)


class Gate(Processor):
    """Stops until a test opens it; says when it has been reached."""

    name = "gate"

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def process(self, context: ProcessingContext) -> ProcessingContext:
        self.reached.set()
        assert self.open.wait(10)
        return context


class Choosy(Processor):
    """Fails on one channel."""

    name = "choosy"
    channel_wise = True

    def __init__(self, channel: str = "C3") -> None:
        self.channel = channel

    def process(self, context: ProcessingContext) -> ProcessingContext:
        if context.get_raw().ch_names[0] == self.channel:
            raise ValueError("this channel is <b>not</b> to my taste")
        return context


class Quit(Processor):
    """Wants to end everything."""

    name = "quit"

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raise SystemExit("good-bye")
