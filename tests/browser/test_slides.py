"""Slides of the lessons fit on the screen: nothing scrolls there.

Reveal.js comes from the network, so the slides are measured as it lays them out: each by itself, as
wide as a slide, with the sizes of letters that the page sets.
"""

from __future__ import annotations

import re
import sys

import nbformat
import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "notebooks/_build"))

import build
import course

pytestmark = pytest.mark.browser

_MEASURE = """async ([width, height]) => {
    await Promise.all([...document.images].map(image => image.decode()));
    const leaves = [...document.querySelectorAll('.slides section')]
        .filter(section => !section.querySelector('section'));
    return leaves.map(section => {
        Object.assign(section.style, {display: 'block', width: width + 'px'});
        const right = section.getBoundingClientRect().left + width;
        const parts = [...section.querySelectorAll('*')].filter(e => e.getClientRects().length);
        const cut = e => e.scrollWidth > e.clientWidth + 2
            && ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
        return {
            words: section.innerText.trim().slice(0, 60),
            shown: section.innerText.trim() !== '' || section.querySelector('img') !== null,
            high: section.scrollHeight > height,
            wide: parts.some(e => e.getBoundingClientRect().right > right + 2 || cut(e)),
        };
    });
}"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> dict[str, str]:
    """The page of each lesson's slides, from its kept results."""
    folder = tmp_path_factory.mktemp("slides")
    pages = {}
    for path in course.list_sources():
        lesson = course.read_lesson(path)
        kept = nbformat.read(course.find_target(lesson, "solution"), as_version=4)
        notes = kept.metadata["facet_nb"]
        kept.cells.pop()  # the footer
        book = build.write_lesson(lesson, "slides", notes["values"], notes["facts"], kept)
        pages[lesson.id] = build.write_slides(book, folder / f"{path.stem}.html")
    return pages


def test_nothing_is_cut(slides, page):
    page.route("http*://**", lambda route: route.abort())
    faults = []
    for lesson, file in slides.items():
        page.goto(file.as_uri(), wait_until="domcontentloaded")
        found = page.evaluate(_MEASURE, list(course.SLIDE_PX))
        assert len(found) >= 8, lesson
        pictures = page.locator("img").evaluate_all("all => all.map(image => image.alt)")
        assert all(re.search(r"\d", alt) for alt in pictures), f"{lesson}: {pictures}"
        faults += [
            f"{lesson}, slide {i}, {slide['words']!r}: {fault}"
            for i, slide in enumerate(found)
            for fault in ("high", "wide", "empty")
            if (not slide["shown"] if fault == "empty" else slide[fault])
        ]
    assert faults == []


def test_a_slide_that_is_too_high_or_wide_is_found(page):
    page.set_content(
        "<div class=slides><section><div style='height: 900px'>a</div></section>"
        "<section><div style='width: 1200px'>b</div></section><section><p>c</p></section></div>"
    )
    found = page.evaluate(_MEASURE, list(course.SLIDE_PX))
    assert [(s["high"], s["wide"]) for s in found] == [(True, False), (False, True), (False, False)]
