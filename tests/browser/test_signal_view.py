"""What a person sees of a recording: before and after, at any scale, while the kernel is busy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Lab
from tests.browser.page_checks import list_faults

pytestmark = pytest.mark.browser

# How many pixels of the canvas have the colour of a signal, left and right of a position (0 to 1).
_COUNT = """(root, [name, at]) => {
    const plot = root.querySelector('.fnb-sv-plot'), style = getComputedStyle(root);
    const dot = document.createElement('canvas').getContext('2d');
    dot.fillStyle = style.getPropertyValue('--fnb-sv-' + name);
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b] = dot.getImageData(0, 0, 1, 1).data;
    const {data, width} = plot.getContext('2d').getImageData(0, 0, plot.width, plot.height);
    const left = 64 * devicePixelRatio, split = left + at * (width - left - 8 * devicePixelRatio);
    const found = [0, 0];
    for (let i = 0; i < data.length; i += 4)
        if (data[i] === r && data[i + 1] === g && data[i + 2] === b)
            found[(i / 4) % width < split ? 0 : 1]++;
    return found;
}"""


class View:
    """The canvas of one panel."""

    def __init__(self, page, panel) -> None:
        self.page, self.panel = page, panel
        self.root = panel.locator(".fnb-sv")
        self.plot, self.handle = panel.locator(".fnb-sv-plot"), panel.locator(".fnb-sv-wipe")
        self.says = panel.locator(".fnb-sv-says")

    def count(self, name: str, at: float = 0.46) -> list[int]:
        return self.root.evaluate(_COUNT, [name, at])

    def wait_for(self, name: str, side: int, at: float = 0.46) -> None:
        """Wait until a signal is drawn on one side."""
        for _ in range(200):
            if self.count(name, at)[side] > 200:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{name} is not drawn: {self.count(name, at)}")

    def press(self, *keys: str) -> None:
        self.plot.focus()
        for key in keys:
            self.page.keyboard.press(key)


def open_view(page, lab_server, *, run: int) -> tuple[Lab, View]:
    """Open the notebook and run its first cells."""
    lab = Lab(page, *lab_server).open("signals.ipynb")
    for index in range(run):
        lab.run_cell(index)
    view = View(page, lab.notebook.locator(".fnb-signal-view"))
    expect(view.says).to_contain_text("recording and corrected")
    return lab, view


def test_before_and_after_at_any_scale(page, lab_server, complaints, shots):
    lab, view = open_view(page, lab_server, run=2)
    view.wait_for("raw", 0)
    view.wait_for("fix", 1)
    assert view.count("raw")[1] < 50 and view.count("fix")[0] < 50  # a column may be rounded
    expect(view.says).to_contain_text("8 channels (Fp1")
    page.screenshot(path=shots / "signal-light.png")

    # The handle, by keyboard and mouse.
    view.handle.focus()
    page.keyboard.press("Home")
    view.wait_for("fix", 0)
    assert sum(view.count("raw")) == 0
    box = view.handle.bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 412, box["y"] + 100, steps=5)
    page.mouse.up()
    view.wait_for("raw", 0)
    expect(view.handle).not_to_have_attribute("aria-valuenow", "0")

    # Time: by dragging, by keys, by the overview; what was not there before is asked for.
    before = view.says.inner_text()
    box = view.plot.bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 200, steps=5)
    page.mouse.up()
    expect(view.says).not_to_have_text(before)
    view.press("Home")
    expect(view.says).to_contain_text("from 0.00 to 5.00 s")
    view.press("]", "]")
    expect(view.says).to_contain_text("to 20.00 s")
    view.press("End", " ")
    expect(view.says).to_contain_text("from 100.00 to 120.00 s")
    page.mouse.click(box["x"] + 64 + (box["width"] - 72) / 2, box["y"] + box["height"] - 8)
    expect(view.says).to_contain_text(re.compile(r"from (49|50)\.\d\d to"))
    view.wait_for("fix", 0, at=1.0)
    view.press("PageDown")
    expect(view.says).to_contain_text("8 channels (")
    expect(view.says).not_to_contain_text("Fp1")

    # The kernel knows what is shown, once it is at rest.
    page.wait_for_timeout(600)
    lab.execute("assert abs(view.model.begin_s - 50) < 0.5, view.model.begin_s")
    lab.execute("view.model.begin_s = 3.0")
    expect(view.says).to_contain_text("from 3.00 to")
    assert list_faults(view.panel) == {}
    assert complaints == []


def test_dark_narrow_and_closed(page, lab_server, workdir, complaints, shots):
    lab, view = open_view(page, lab_server, run=2)
    view.wait_for("fix", 1)
    lab.set_theme("Dark")
    try:
        page.set_viewport_size({"width": 760, "height": 900})
        view.wait_for("fix", 1)
        assert view.root.evaluate("r => r.hasAttribute('data-dark')")
        assert view.root.evaluate("r => r.scrollWidth <= r.clientWidth")
        view.root.scroll_into_view_if_needed()
        page.screenshot(path=shots / "signal-dark-760.png")
        assert list_faults(view.panel) == {}
    finally:
        lab.set_theme("Light")
    # Running the cell again closes the old view and leaves nothing behind.
    count = "import ipywidgets, pathlib; n = len(ipywidgets.widget._instances); {}"
    lab.execute(count.format("first = n"))
    for _ in range(3):
        lab.run_cell(1)
        page.wait_for_timeout(300)
    expect(view.says).to_contain_text("recording and corrected")
    lab.execute(count.format("pathlib.Path('leak.txt').write_text(f'{n - first}')"))
    assert (workdir / "leak.txt").read_text() == "0"
    lab.restart()
    view.press("ArrowRight", "End")
    expect(view.says).to_contain_text("The kernel was restarted")
    assert complaints == []


def test_the_picture_moves_while_a_cell_runs(page, lab_server, workdir, complaints):
    lab, view = open_view(page, lab_server, run=2)
    view.wait_for("fix", 1)
    lab.run_cell(2)  # Python that ends when it is told
    page.wait_for_timeout(1000)
    before = view.root.evaluate("r => r.fnbStore.received")
    view.press("End")
    page.wait_for_function(
        "([r, before]) => r.fnbStore.received > before",
        arg=[view.root.element_handle(), before],
    )
    state = "() => window.jupyterapp.shell.currentWidget.content.widgets[2].model.executionState"
    assert page.evaluate(state) == "running"
    (workdir / "enough").touch()
    assert complaints == []
