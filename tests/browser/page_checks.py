"""What a screen reader and weak eyes would miss: names, contrast, and what axe-core finds.

axe-core comes with ``axe-playwright-python``; it is used as it is, on our own part of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from tests.browser.harness import TABS

_NAMELESS = """controls => controls.filter(c => {
    if (!c.checkVisibility || !c.checkVisibility()) return false;
    const labels = [...(c.labels || [])].some(l => l.textContent.trim());
    return !(c.getAttribute('aria-label') || c.title || c.textContent.trim() || labels ||
             c.placeholder);
}).map(c => c.outerHTML.slice(0, 200))"""

# Relative luminance and contrast as WCAG 2 defines them; backgrounds are looked up through the
# ancestors, and translucent ones are laid over what is below them.
_PALE = """(root, least) => {
    const read = text => {
        const m = text.match(/[\\d.]+/g).map(Number);
        return m.length < 4 ? [...m.slice(0, 3), 1] : m;
    };
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
    const luminance = c => {
        const [r, g, b] = c.map(v => v / 255).map(
            v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = e => {
        const layers = [];
        for (; e; e = e.parentElement) {
            const c = read(getComputedStyle(e).backgroundColor);
            if (c[3] > 0) layers.push(c);
            if (c[3] === 1) break;
        }
        let colour = [255, 255, 255];
        for (const layer of layers.reverse()) colour = over(layer, colour);
        return colour;
    };
    const found = {};
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        const skipped = e.closest('style, option, [disabled], .fnb-plot, .fnb-tl-pic');
        if (!text || skipped || !e.checkVisibility()) continue;
        const style = getComputedStyle(e), below = background(e);
        const svg = e.namespaceURI.includes('svg');
        const colour = over(read(svg ? style.fill : style.color), below);
        const [high, low] = [luminance(colour), luminance(below)].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < least) found[text.slice(0, 60)] = `${ratio.toFixed(2)} ${e.className}`;
    }
    return found;
}"""

_CLIPPED = """root => [...root.querySelectorAll(
        'button, .widget-label, h1, strong, p, td, th, span, b, li, label')]
    .filter(e => {
        // Names of channels over their columns are as long as they like, and are shortened.
        if (e.closest('.fnb-upright') || !e.checkVisibility()) return false;
        if (!e.textContent.trim() || !e.clientWidth) return false;
        const { overflowX, overflowY } = getComputedStyle(e);
        return (e.scrollWidth > e.clientWidth + 1 && !['visible', 'auto'].includes(overflowX)) ||
            (e.scrollHeight > e.clientHeight + 1 && !['visible', 'auto'].includes(overflowY));
    })
    .map(e => e.textContent.trim().slice(0, 60))"""


# Words are as a reader reads them: a name with an underscore may go on in a second line.
_BROKEN = """(root, most) => {
    const broken = new Set();
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        if (!text.parentElement.checkVisibility()) continue;
        for (const { index, 0: word } of text.data.matchAll(/\\p{L}{2,}/gu)) {
            const range = document.createRange();
            range.setStart(text, index);
            range.setEnd(text, index + word.length);
            const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
            if (lines.size > 1 && word.length <= most) broken.add(word);
        }
    }
    return [...broken];
}"""


def list_broken(root: Any, most: int = 16) -> list[str]:
    """Return words of at most `most` letters that are broken over two lines."""
    return root.first.evaluate(f"root => ({_BROKEN})(root, {most})")


def list_nameless(root: Any) -> list[str]:
    """Return visible controls that a screen reader could not name."""
    controls = root.locator("select, input, textarea, button, [role=slider], svg[role=img]")
    return controls.evaluate_all(_NAMELESS)


def list_pale(root: Any, least: float = 4.5) -> dict[str, str]:
    """Return visible texts whose contrast is below `least` (AA is 4.5), with the ratio."""
    return root.first.evaluate(f"root => ({_PALE})(root, {least})")


def list_clipped(root: Any) -> list[str]:
    """Return texts that do not fit where they stand."""
    return root.first.evaluate(_CLIPPED)


# What axe-core calls serious or critical, and what it could not decide, with the elements. Contrast
# that it cannot decide (of text over pictures, or in SVG) is measured above. JupyterLab's body has
# no height of its own and hides what is outside of it: axe would take all in it for unseen, and
# look at no contrast.
_AXE = """async root => {
    document.documentElement.style.height = document.body.style.height = '100%';
    // No rule that runs reads style sheets: loading JupyterLab's again would be in vain.
    const options = {resultTypes: ['violations', 'incomplete'], preload: false};
    const found = await axe.run({include: [root]}, options);
    const say = node => `${node.target.join(' ')} ${node.html.slice(0, 160)} ` +
        [...node.any, ...node.all, ...node.none].map(check => check.message).join('; ');
    return [...found.violations, ...found.incomplete.filter(v => v.id !== 'color-contrast')]
        .filter(v => ['serious', 'critical'].includes(v.impact))
        .map(v => `${v.id} (${v.impact}): ` + v.nodes.map(say).join(' | '));
}"""

_SIDEWAYS = """root => [root, ...root.querySelectorAll('*')]
    .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 &&
                 !e.matches('select') && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX))
    .map(e => `${e.className}: ${e.scrollWidth} in ${e.clientWidth} pixels`)"""


def list_violations(root: Any) -> list[str]:
    """Return what axe-core finds in an element, of serious and critical impact."""
    page = root.page
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    return root.first.evaluate(_AXE)


def list_sideways(root: Any) -> list[str]:
    """Return what has to be scrolled sideways to be seen."""
    return root.first.evaluate(_SIDEWAYS)


_REACHED = """() => {
    const e = document.activeElement;
    e.dataset.reached = '1';
    return e.closest('.fnb-panel') !== null;
}"""
# What a plot offers to the mouse over it is left out: its axes have nothing to choose.
_UNREACHED = """root => [...root.querySelectorAll(
        'select, input, textarea, button, [role=slider], summary')]
    .filter(e => e.checkVisibility() && !e.disabled && !e.dataset.reached && e.tabIndex >= 0 &&
                 !e.closest('.jupyter-matplotlib'))
    .map(e => e.outerHTML.slice(0, 160))"""


def list_unreachable(root: Any, most: int = 80) -> list[str]:
    """Return what cannot be reached with the Tab key from the first button on."""
    first = root.locator("button:visible").first
    first.evaluate("e => { e.focus(); e.dataset.reached = '1'; }")
    for _ in range(most):
        root.page.keyboard.press("Tab")
        if not root.page.evaluate(_REACHED):
            return root.first.evaluate(_UNREACHED)
    return [f"the end, with {most} keys"]


def list_faults(root: Any) -> dict[str, Any]:
    """Return all that is wrong with what is seen of an element; empty if nothing is."""
    found = {
        "no name": list_nameless(root),
        "pale": list_pale(root),
        "clipped": list_clipped(root),
        "axe": list_violations(root),
    }
    return {what: where for what, where in found.items() if where}


def check_tabs(
    lab: Any, panel: Any, tabs: Sequence[str] = TABS, themes: Sequence[str] = ("Dark", "Light")
) -> None:
    """Look at tabs of a studio as they are now; what a theme cannot change, in one of them."""
    found = {}
    for theme in themes:
        if len(themes) > 1:
            lab.set_theme(theme)
        for tab in tabs:
            panel.turn_to(tab)
            # What axe finds of colours, and takes most of a second for, `list_pale` finds as well.
            look = list_faults if theme == themes[-1] else list_pale
            found[f"{tab}, {theme}"] = look(panel.root)
    wrong = {where: faults for where, faults in found.items() if faults}
    assert wrong == {}, wrong  # no rewriting of assertions here: pytest would not say what
