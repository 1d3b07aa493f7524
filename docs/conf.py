"""Sphinx configuration: MyST pages and notebooks, numpydoc, the pydata theme."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tomllib
from functools import cache, partial
from pathlib import Path

from jinja2 import BytecodeCache, sandbox
from numpydoc import docscrape_sphinx
from sphinx.search.en import SearchEnglish

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
import reference  # noqa: E402 - beside this file, and not installed

# A copy, as links between notebooks must stay below this folder.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
_SOURCES = shutil.ignore_patterns("_build", "solutions", ".ipynb_checkpoints")
shutil.copytree(ROOT / "notebooks", HERE / "notebooks", ignore=_SOURCES)
reference.describe_pictures(HERE / "notebooks")

_GENERATED = HERE / "api" / "generated"
reference.write_pages(_GENERATED)
reference.write_command_line(_GENERATED / "command_line.txt")
reference.write_gallery(
    _GENERATED / "gallery.txt", [HERE / "gallery", ROOT / "examples"], HERE / "_static" / "home"
)
reference.write_hero(
    _GENERATED / "hero.html", HERE / "_templates" / "hero.html", HERE / "_static" / "home"
)
_project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _all_executed() -> bool:
    """Whether each notebook was saved with its results."""
    books = [json.loads(path.read_bytes()) for path in (ROOT / "notebooks").glob("*.ipynb")]
    return all(any(cell.get("outputs") for cell in book["cells"]) for book in books)


project = "facet_nb"
author = "The facet_nb contributors"
project_copyright = f"2026, {author}"
version = release = _project["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = [
    *("_build", "**.ipynb_checkpoints", "gallery"),
    *(f"notebooks/course/{edition}" for edition in ("solutions", "instructor", "slides")),
]

# The notebooks keep their results; they are run again by the tests, not by this build.
nb_execution_mode = "off" if _all_executed() else "cache"
nb_execution_timeout = 240
nb_execution_raise_on_error = True
# A panel's picture and table are HTML in the saved output; the widget itself needs a kernel.
nb_mime_priority_overrides = [("html", "text/html", 0)]
nb_ipywidgets_js: dict = {}
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False  # reference.py writes the pages
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = f"facet_nb {release}"
html_static_path = ["_static"]
html_css_files = ["home.css"]
html_js_files = [("names.js", {"defer": "defer"})]
html_show_sourcelink = False
html_sidebars = {
    "index": [],
    "api/generated/facet_nb.*": ["sidebar-package.html"],
    "_modules/*": [],
}
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


# Trees of pages are no garbage: a search for it, again and again, takes a tenth of the build.
gc.set_threshold(200_000)
# The index looks up the stem of each word of each page.
SearchEnglish.stem = cache(SearchEnglish.stem)


class _Compiled(BytecodeCache):
    """Templates that are compiled once; numpydoc does so for each docstring, some 2000 times."""

    def __init__(self):
        self.kept = {}

    def load_bytecode(self, bucket):
        """Put what is known into a bucket."""
        bucket.code = self.kept.get(bucket.key)

    def dump_bytecode(self, bucket):
        """Keep what was compiled."""
        self.kept[bucket.key] = bucket.code


docscrape_sphinx.SandboxedEnvironment = partial(
    sandbox.SandboxedEnvironment, bytecode_cache=_Compiled()
)


def _is_inherited_magic(app, what, name, obj, skip, options):
    """Skip what Matplotlib and traitlets write into our classes; it is documented there."""
    module = getattr(obj, "__module__", None)
    return True if module and not module.startswith("facet_nb") and callable(obj) else skip


def setup(app):
    """Register the filter."""
    app.connect("autodoc-skip-member", _is_inherited_magic)
