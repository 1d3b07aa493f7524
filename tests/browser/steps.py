"""Steps and a recording for the browser tests; workers load this module, so it stays small."""

from __future__ import annotations

import time

import numpy as np

from facet_nb.core import (
    ArrayProcessor,
    Pipeline,
    ProcessingContext,
    Processor,
    register_processor,
)

HOSTILE = "<img src=x onerror=alert(1)> $x$ & 'C4'"


@register_processor
class Slow(ArrayProcessor):
    """Takes its time for each channel, and halves the signal.

    Parameters
    ----------
    seconds : float
        Time for one channel, in s.
    """

    name = "slow"

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds

    def compute(self, x, prepared, out=None):
        time.sleep(self.seconds * len(x))
        return np.multiply(x, 0.5, out=out)


@register_processor
class Choosy(Processor):
    """Fails on one channel.

    Parameters
    ----------
    channel : str
        Its name.
    """

    name = "choosy"
    channel_wise = True

    def __init__(self, channel: str = HOSTILE) -> None:
        self.channel = channel

    def process(self, context: ProcessingContext) -> ProcessingContext:
        if context.get_raw().ch_names[0] == self.channel:
            raise ValueError("this channel is <b>not</b> to my taste")
        return context


def make_source(n_channels: int = 8):
    """Return a small recording; one of its channels has a hostile name."""
    from facet_nb.datasets import simulate

    simulation = simulate(n_channels, 500.0, 16.0, lead_in_s=2.0, lead_out_s=2.0)
    names = simulation.raw.ch_names
    simulation.raw.rename_channels({names[3]: HOSTILE}, verbose="error")
    return simulation.context().with_triggers(simulation.triggers)


def make_slow(seconds: float = 0.15) -> Pipeline:
    """Return a pipeline that takes long enough to be watched."""
    return Pipeline([Slow(seconds), Slow(seconds), Slow(seconds)], name="Slow chain")


def make_failing() -> Pipeline:
    """Return a pipeline that fails in its second step."""
    return Pipeline([Slow(0.01), Choosy()], name="Failing chain")


def make_pair():
    """A recording of 24 channels, and the same one corrected where it is looked at."""
    from facet_nb import AASCorrection, HighPassFilter, Pipeline, TriggerDetector
    from facet_nb.datasets import simulate

    raw = simulate(n_channels=24, duration_s=120, sfreq=1000, seed=4).raw
    chain = [TriggerDetector(r"\b1\b"), HighPassFilter(1.0), AASCorrection(window_size=20)]
    return raw, Pipeline(chain).lazy(raw)
