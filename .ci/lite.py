"""Build the first lessons as pages that run in the browser, without a server: lite.py FOLDER.

Needs jupyterlite-core and jupyterlite-pyodide-kernel. The page itself loads Pyodide, and what the
package depends on, from the network; the package comes with the site, as a wheel without C.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
#: Lessons that run in one process, without threads and with little memory.
LESSONS = ("L01_the_scanner", "L02_between_samples", "L03_is_it_good")
INSTALL = """# The browser has Python, and installs the package: half a minute, once for each page.
%pip install -q facet-nb matplotlib"""


def write_contents(folder: Path) -> list[Path]:
    """Copy the lessons without their results; each begins with the installation."""
    written = []
    for name in LESSONS:
        book = nbformat.read(ROOT / f"notebooks/course/{name}.ipynb", as_version=4)
        book.cells.insert(0, nbformat.v4.new_code_cell(INSTALL, id="install"))
        book.metadata.kernelspec = {"name": "python", "display_name": "Python (Pyodide)"}
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        written.append(folder / f"{name}.ipynb")
        nbformat.write(book, written[-1])
    return written


def build_wheel(folder: Path) -> Path:
    """Build the wheel without compiled kernels, which any Python takes."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "FACET_NB_PURE": "1"})
    (wheel,) = folder.glob("facet_nb-*-none-any.whl")
    return wheel


def main(output: Path) -> None:
    """Write the site."""
    with tempfile.TemporaryDirectory() as scratch:
        lite, contents = Path(scratch), Path(scratch) / "contents"
        contents.mkdir()
        write_contents(contents)
        command = ["jupyter", "lite", "build", "--lite-dir", str(lite), "--contents", str(contents)]
        command += ["--piplite-wheels", str(build_wheel(lite)), "--output-dir", str(output)]
        subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
