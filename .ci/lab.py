"""Open a notebook in JupyterLab; print its address where there is no browser to open it with."""

from __future__ import annotations

import os
import sys
import webbrowser


def has_screen() -> bool:
    """Whether a graphical browser can be opened from here."""
    if sys.platform.startswith("linux"):
        display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not display and not os.environ.get("BROWSER"):
            return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def main(notebook: str, *options: str) -> None:
    """Become the JupyterLab server."""
    # The address is a critical message of the server's: it is shown at this level too.
    quiet = ["--log-level=WARN", "--LabApp.news_url="]
    command = [sys.executable, "-m", "jupyterlab", *quiet]
    command.append(f"--LabApp.default_url=/lab/tree/{notebook}")
    if not has_screen():
        print("No browser here: open the address that JupyterLab prints below.", flush=True)
        command.append("--no-browser")
    os.execv(sys.executable, [*command, *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
