"""The page about a run, as a person sees it: in light and dark, narrow and wide, and on paper."""

from __future__ import annotations

import pytest

from facet_nb import AASCorrection, Pipeline, TriggerDetector
from facet_nb.core import PipelineResult
from facet_nb.datasets import simulate
from facet_nb.datasets.imperfections import Imperfections
from tests.browser.page_checks import list_clipped, list_pale, list_violations

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report of a good, a bad and a failed run."""
    folder = tmp_path_factory.mktemp("reports")
    faults = Imperfections(extra_markers=4, emg_bursts=3, loose_channels=[2], clip_v=3e-3)
    kinds = {"good": {}, "bad": {"missing": [7, 12], "imperfections": faults}}
    for name, options in kinds.items():
        simulation = simulate(8, 1000.0, 40.0, 1.0, 10, seed=4, markers="volume", **options)
        chain = Pipeline([TriggerDetector("R128"), AASCorrection(window_size=8)])
        done: PipelineResult = chain.run(simulation.context(), show_progress=False)
        done.report(folder / f"{name}.html")
    Pipeline([TriggerDetector("none")]).run(simulation.context(), show_progress=False).report(
        folder / "failed.html"
    )
    return folder


@pytest.mark.parametrize("name", ["good", "bad", "failed"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_read_by_anyone(pages, name, scheme, browser):
    for width in (760, 1280):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        asked = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((pages / f"{name}.html").as_uri())
        main = page.locator("main")
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert list_clipped(main) == [] and list_pale(main) == {}
        if (width, scheme) == (1280, "light"):  # nothing else that axe finds depends on either
            assert list_violations(main) == []
        small = main.evaluate(
            """root => [...root.querySelectorAll('svg text, p, td, figcaption, li')]
            .filter(e => e.textContent.trim())
            .map(e => [e.getBoundingClientRect().height, e.textContent])
            .filter(([height, text]) => height < 9)"""
        )
        assert small == []
        outside = main.evaluate(
            """root => [...root.querySelectorAll('svg')].flatMap(svg => {
                const box = svg.getBoundingClientRect();
                return [...svg.querySelectorAll('text')].filter(e => {
                    const b = e.getBoundingClientRect();
                    return b.left < box.left - 1 || b.right > box.right + 1 ||
                           b.top < box.top - 1 || b.bottom > box.bottom + 1;
                }).map(e => e.textContent);
            })"""
        )
        assert outside == []
        context.close()


def test_without_scripts_and_on_paper(pages, browser, tmp_path):
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto((pages / "bad.html").as_uri())
    assert page.locator("h2").count() > 8
    page.pdf(path=tmp_path / "bad.pdf", format="A4")
    assert len((tmp_path / "bad.pdf").read_bytes()) > 50_000
    context.close()
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((pages / "bad.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    colours = page.locator("main").evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    context.close()
