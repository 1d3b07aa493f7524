"""A real JupyterLab or Voila on the loopback interface, driven through Playwright."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

#: How long a page is waited for, in ms: on a busy machine everything takes longer, and that is no
#: fault.
PATIENCE = 120_000

#: Settings that make JupyterLab the same each time.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # Keep outputs that are scrolled away in the page.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},
    "@jupyterlab/apputils-extension/themes.jupyterlab-settings": {
        "adaptive-theme": False,
        "theme": "JupyterLab Light",
    },
}
_PRIVATE = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "JUPYTERLAB_SETTINGS_DIR": "lab-settings",
    "JUPYTERLAB_WORKSPACES_DIR": "lab-workspaces",
    "MPLCONFIGDIR": "mpl",
}
_ERRORS = (
    ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error'], "
    ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']"
)
# The toolbar says "idle" before a kernel is attached, and Run All would then run nothing.
_CONNECTED = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget.context.ready;
    const context = widget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
    for (let i = 0; i < 600 && context.session.kernel.connectionStatus !== 'connected'; i++)
        await new Promise(r => setTimeout(r, 50));
}"""
# The settings keep the theme: whoever changes it puts it back.
_SET_THEME = """async theme => {
    const name = {theme: `JupyterLab ${theme}`};
    await window.jupyterapp.commands.execute('apputils:change-theme', name);
    const light = String(theme === 'Light');
    // While a theme is loaded, a veil lies over the page.
    const waits = () => document.body.dataset.jpThemeLight !== light ||
        document.getElementById('jupyterlab-splash') !== null;
    for (let i = 0; i < 200 && waits(); i++) await new Promise(r => setTimeout(r, 25));
    await new Promise(r => requestAnimationFrame(() => setTimeout(r, 50)));
}"""
_RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
_OPEN = """async path => {
    const app = window.jupyterapp;
    const widget = await app.commands.execute('docmanager:open', {path});
    for (let i = 0; i < 600 && app.shell.currentWidget !== widget; i++)
        await new Promise(r => setTimeout(r, 50));
}"""
# A notebook that is only closed would ask whether it shall be saved, and leave its kernel.
_CLEAR = """async () => {
    const app = window.jupyterapp;
    for (const widget of [...app.shell.widgets('main')]) widget.dispose();
    await app.serviceManager.sessions.shutdownAll();
    app.shell.expandLeft();
}"""
_RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
# Asked of the application: in a narrow window the toolbar hides its mark.
_ALL_RUN = """() => {
    const widget = window.jupyterapp.shell.currentWidget;
    const cells = [...widget.content.widgets].filter(c => c.model.type === 'code');
    return cells.length && cells.every(c => c.model.executionCount)
        && cells.every(c => c.model.executionState !== 'running')
        && widget.sessionContext.session.kernel.status === 'idle';
}"""


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _environment(private: Path) -> dict[str, str]:
    environment = dict(os.environ, NO_PROXY="127.0.0.1,localhost")
    for name, folder in _PRIVATE.items():
        (private / folder).mkdir(parents=True, exist_ok=True)
        environment[name] = str(private / folder)
    return environment


@contextlib.contextmanager
def _serve(command: Sequence[str], root: Path, private: Path, url: str) -> Iterator[None]:
    log_path = private / "server.log"
    with open(log_path, "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=_environment(private),
            cwd=root,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(url, server, log_path)
            yield
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(url: str, server: subprocess.Popen, log_path: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended at once:\n{log_path.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return  # it answers, if only with an error
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no answer from {url}:\n{log_path.read_text()[-2000:]}")


@contextlib.contextmanager
def serve_lab(root: Path, private: Path) -> Iterator[tuple[str, str]]:
    """Start JupyterLab, and Notebook 7 in the same server, over `root`; yield address and token."""
    for name, values in SETTINGS.items():
        path = private / "lab-settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port, token = _free_port(), secrets.token_hex(8)
    base = f"http://127.0.0.1:{port}"
    command = [
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    with _serve(command, root, private, f"{base}/api/status?token={token}"):
        yield base, token


@contextlib.contextmanager
def serve_voila(notebook: Path, private: Path) -> Iterator[str]:
    """Start Voila for one notebook; yield its address."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["voila", str(notebook), "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    # Its own address would run the notebook: any other one tells as well that it is there.
    with _serve(command, notebook.parent, private, f"{url}/voila/static/nothing"):
        yield url


def clear(page, viewport: dict[str, int]) -> bool:
    """Close what is open in JupyterLab, and end its kernels; False where the page shows another."""
    if "/lab/" not in page.url:
        return False
    page.evaluate(_CLEAR)
    page.set_viewport_size(viewport)
    return True


class Lab:
    """A notebook that is open in JupyterLab."""

    #: What comes before the notebook's path in its address, and what after it.
    ADDRESS = ("lab/tree", "&reset")

    def __init__(self, page, base: str, token: str) -> None:
        self.page, self.base, self.token = page, base, token
        self.notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def open(self, path: str, *, kernel: bool = True) -> Lab:
        """Open a notebook, in the page as it is if it shows JupyterLab; wait for its kernel."""
        if not self.page.url.startswith(f"{self.base}/{self.ADDRESS[0]}/"):
            return self.load(path, kernel=kernel)
        self.page.evaluate(_OPEN, path)
        return self._wait(kernel)

    def load(self, path: str, *, kernel: bool = True) -> Lab:
        """Load the page anew, with a notebook in a workspace of its own; wait for its kernel."""
        before, after = self.ADDRESS
        self.page.goto(f"{self.base}/{before}/{path}?token={self.token}{after}")
        return self._wait(kernel)

    def _wait(self, kernel: bool) -> Lab:
        self.notebook.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        if kernel:
            self.page.evaluate(_CONNECTED)
        return self

    def run_all(self, timeout_s: float = 120) -> None:
        """Run all cells and wait for the last."""
        self.page.evaluate(_RUN_ALL)
        self.page.wait_for_function(_ALL_RUN, timeout=1000 * timeout_s)

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def set_theme(self, theme: str) -> None:
        """Choose the theme: ``"Light"`` or ``"Dark"``."""
        self.page.evaluate(_SET_THEME, theme)

    def restart(self) -> None:
        """Restart the kernel, and wait for the new one."""
        self.page.evaluate(_RESTART)
        self.page.evaluate(_CONNECTED)

    def execute(self, code: str) -> None:
        """Let the kernel execute something that stands in no cell."""
        self.page.evaluate(
            "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
            ".requestExecute({code, store_history: false}).done.then(() => null)",
            code,
        )

    def run_cell(self, index: int) -> None:
        """Begin to run one cell."""
        self.page.evaluate(
            "index => { const app = window.jupyterapp;"
            "app.shell.currentWidget.content.activeCellIndex = index;"
            "app.commands.execute('notebook:run-cell'); }",
            index,
        )

    def errors(self) -> list[str]:
        """Return what cells wrote as errors."""
        return self.notebook.locator(_ERRORS).all_inner_texts()


class Notebook(Lab):
    """A notebook that is open in Notebook 7."""

    ADDRESS = ("notebooks", "")


#: The screens of a studio.
TABS = ("Recording", "Chain", "Run", "Tune", "Save", "Compare")


class Panel:
    """A control panel in a page: the same in JupyterLab and in Voila."""

    def __init__(self, page, scope=None) -> None:
        self.page = page
        self.root = (scope or page).locator(".fnb-panel")

    def part(self, name: str):
        """Return the part with class ``fnb-name``."""
        return self.root.locator(f".fnb-{name}")

    def choose(self, name: str, label: str) -> None:
        """Choose from a dropdown."""
        self.part(name).locator("select").select_option(label=label)

    def number(self, name: str) -> int:
        """Return what a number box shows."""
        return int(self.part(name).locator("input[type='number']").input_value())

    def type_number(self, name: str, value: int) -> None:
        """Type into a number box."""
        box = self.part(name).locator("input[type='number']")
        box.fill(str(value))
        box.press("Enter")

    def press_slider(self, name: str, key: str) -> None:
        """Press a key on a slider."""
        handle = self.part(name).locator(".noUi-handle")
        handle.focus()
        handle.press(key)

    def percent(self) -> float:
        """Return how far the bar is, in percent."""
        style = self.part("progress").locator(".progress-bar").evaluate("e => e.style.width")
        return float(style.rstrip("%") or 0)

    def wait_for_all(self, n_cells: int | None = None) -> None:
        """Wait until the bar is full, and that many cells of the grid are done."""
        from playwright.sync_api import expect

        # The line above them says so first: each part of a panel is drawn when its turn comes.
        if n_cells is not None:
            cells = self.part("grid").locator(".fnb-cell-done")
            expect(cells).to_have_count(n_cells)
        bar = self.part("progress").locator(".progress-bar")
        expect(bar).to_have_attribute("style", re.compile(r"width: 100%"))

    def n_done(self) -> int:
        """Return how many cells of the grid are done."""
        return self.part("grid").locator(".fnb-cell-done").count()

    def code(self) -> str:
        """Return the Python that is shown."""
        return self.part("code").locator("textarea").input_value()

    def turn_to(self, title: str) -> None:
        """Choose a screen of a studio, and open what it folds away."""
        first = "Run" if title == "Compare" else title
        self.part("state").locator(f"[data-value='{first}']:not(.fnb-next)").click()
        self._unfold(first)
        if title == "Compare":
            self.part("run-picture").locator("[data-value='Compare']").click()
            self._unfold(title)

    def _unfold(self, title: str) -> None:
        """Wait for a screen, and open what it folds away."""
        page = self.part(f"tab-{title.lower()}")
        page.wait_for()
        closed = ".jupyter-widget-Collapse:not(.jupyter-widget-Collapse-open)"
        for fold in page.locator(closed).all():
            fold.locator(".jupyter-widget-Collapse-header").click()

    def canvas_hash(self, name: str = "plot") -> str:
        """Return a hash of the pixels of an interactive plot."""
        canvas = self.part(name).locator("canvas").first
        return hashlib.sha1(canvas.evaluate("c => c.toDataURL()").encode()).hexdigest()
