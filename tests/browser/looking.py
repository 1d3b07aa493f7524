"""What a screen reader and weak eyes would miss: names and contrast, measured in the page."""

from __future__ import annotations

from typing import Any

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
        const skipped = e.closest('style, option, [disabled], .fnb-plot');
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

_CLIPPED = """root => [...root.querySelectorAll('button, .widget-label, h1, strong, p, td, th')]
    .filter(e => e.checkVisibility() && e.textContent.trim() && e.clientWidth > 0 &&
                 e.scrollWidth > e.clientWidth + 1 &&
                 !['visible', 'auto'].includes(getComputedStyle(e).overflowX))
    .map(e => e.textContent.trim().slice(0, 60))"""


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
