"""A channel, an annotation, a file or a step with markup for a name: it stays text everywhere."""

from __future__ import annotations

import base64
import importlib
import inspect
import pkgutil
from html.parser import HTMLParser

import mne
import pytest

import facet_nb
from facet_nb import plots
from facet_nb.core import Pipeline, ProcessingContext
from tests.core import toys

HOSTILE = "<img src=x onerror=alert(1)>\"'&<script>alert(2)</script>"
#: What shows itself as HTML in :func:`pages`.
SHOWN = {
    "Advice",
    "BatchResult",
    "BenchmarkTable",
    "ControlPanel",
    "Picture",
    "Pipeline",
    "PipelineResult",
    "Plan",
    "Processor",
}


class Page(HTMLParser):
    """What a browser would make of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "link"):
            self.found.append(tag)
        self.found += [name for name in values if name.startswith("on")]
        source = values.get("src") or values.get("href") or ""
        if source and not source.startswith(("data:image/svg+xml;base64,", "#", "#anchor")):
            self.found.append(source)
        if source.startswith("data:image/svg+xml"):
            self.found += Page(base64.b64decode(source.partition(",")[2]).decode()).found

    def handle_data(self, data):
        self.text += data


class Renamed(toys.ChannelWise):
    """Has a parameter, and fails on a channel, with the name."""

    name = HOSTILE

    def __init__(self, label: str = HOSTILE, fails: bool = False) -> None:
        self.label = label
        self.fails = fails

    def change(self, x, context):
        if self.fails:
            raise ValueError(f"{HOSTILE} on {context.get_channel_names()}")
        return 0.5 * x


@pytest.fixture(scope="module")
def ctx():
    raw = toys.make_raw()
    raw.rename_channels({"E1": HOSTILE, "E3": f"{HOSTILE}2"})
    raw.set_annotations(mne.Annotations([0.5], [0.1], [HOSTILE]))
    triggers = range(100, raw.n_times - 200, 200)
    return ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=200)


def pages(ctx):
    """Yield the name of a class and HTML that it makes."""
    from facet_nb.widgets import ControlPanel

    metrics = Pipeline([lambda c: c.with_metadata(c.metadata.updated(custom=CUSTOM))], HOSTILE)
    good = Pipeline([Renamed(), facet_nb.AASCorrection(ref_channel=HOSTILE)], name=HOSTILE)
    good = Pipeline([*good, *metrics], name=HOSTILE)
    bad = Pipeline([Renamed(fails=True)], name=HOSTILE)
    result, failed = good.run(ctx), bad.run(ctx)
    assert result.success and HOSTILE in str(failed.error)
    yield "Processor", good[0]._repr_html_()
    yield "Processor", facet_nb.Loader(HOSTILE)._repr_html_()
    yield "Pipeline", good._repr_html_()
    yield "Plan", good.plan(mode="channel_sequential")._repr_html_()
    yield "PipelineResult", result._repr_html_()
    yield "PipelineResult", failed._repr_html_()
    yield "BatchResult", bad.map([ctx, ctx])._repr_html_()
    yield "BatchResult", good.map([f"{HOSTILE}.fif"])._repr_html_()
    for picture in (
        plots.plot_before_after(result.context, HOSTILE),
        plots.plot_psd(result.context, HOSTILE),
        plots.plot_channels(result.get_raw(), [HOSTILE]),
        plots.plot_step_times(result.state),
    ):
        yield "Picture", picture.to_html()
    for pipeline in (good, bad):
        panel = ControlPanel(pipeline, ctx, backend="serial")
        yield "ControlPanel", panel.to_html()
        panel.run()
        yield "ControlPanel", panel.to_html()
        yield "ControlPanel", panel._repr_mimebundle_()["text/html"]
    yield from benchmark_pages()
    yield "raw", result.get_raw()._repr_html_()  # MNE's


CUSTOM = {"metrics": {HOSTILE: 1.0}}


def benchmark_pages():
    from dataclasses import replace

    from facet_nb.benchmark import Advice, BenchmarkTable, Configuration
    from tests.benchmark.samples import ENVIRONMENT, SUBJECT, make_point

    subject = replace(SUBJECT, pipeline=HOSTILE, source=HOSTILE)
    point = make_point(Configuration(HOSTILE), subject_id=subject.id, error=HOSTILE)
    table = BenchmarkTable(ENVIRONMENT, subject, warnings=(HOSTILE,)).append(point)
    yield "BenchmarkTable", table._repr_html_()
    advice = Advice(
        mode=HOSTILE,
        backend=HOSTILE,
        n_jobs=1,
        n_workers=1,
        batch_size=1,
        predicted_wall_s=1.0,
        predicted_peak_mb=1.0,
        wall_interval_s=(1.0, 2.0),
        peak_interval_mb=(1.0, 2.0),
        runner_up=Configuration(HOSTILE),
        reason=HOSTILE,
        evidence=(HOSTILE,),
        code=HOSTILE,
    )
    yield "Advice", advice._repr_html_()


def test_names_stay_text_everywhere(ctx):
    seen, told = set(), set()
    for owner, html in pages(ctx):
        assert HOSTILE not in html
        if owner == "raw":  # it has scripts of MNE's
            continue
        page = Page(html)
        assert not page.found, (owner, page.found)
        told |= {owner} if HOSTILE in page.text else set()
        seen.add(owner)
    assert told == SHOWN - {"Processor"}, "shown as text (of a step: as a Python literal)"
    assert seen == SHOWN


def test_everything_that_shows_itself_escapes():
    """A class with HTML of its own is in :func:`pages`, or at least knows how to escape."""
    found = {}
    for module in pkgutil.walk_packages(facet_nb.__path__, "facet_nb."):
        if "__main__" in module.name:
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            own = isinstance(thing, type) and thing.__module__.startswith("facet_nb")
            makes = ("_repr_html_", "_repr_mimebundle_", "_repr_svg_", "_repr_markdown_")
            if own and any(method in vars(thing) for method in makes):
                found[name] = inspect.getsource(inspect.getmodule(thing))
    assert len(set(found) & SHOWN) >= len(SHOWN) - 1  # a panel may have it of its base
    for name in set(found) - SHOWN:
        assert any(word in found[name] for word in ("escape(", "write_", "to_html(")), name
