"""View of the Python code of a run, with a copy button."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.models import RunModel
from facet_nb.widgets.controls import make_control

# Unlike the clipboard interface, this also works on pages without encryption. If the browser does
# not copy, the text stays selected.
_COPY = (
    "const t = this.closest('.fnb-code-box').querySelector('textarea');"
    "t.focus(); t.select();"
    "let ok = false; try { ok = document.execCommand('copy'); } catch (e) { ok = false; }"
    "this.nextElementSibling.textContent = ok ? 'Copied.' : 'Selected: press Ctrl+C.';"
)


class CodeView:
    """Shows Python code that does the same as the panel.

    Parameters
    ----------
    model : RunModel
        The model whose code is shown.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        self.text = make_control(w.Textarea, "Python", "fnb-code", width="99%")
        button = w.HTML(
            f'<button type="button" class="fnb-copy" onclick="{_COPY}">Copy as code</button> '
            '<span role="status" class="fnb-quiet">the same run without the panel</span>'
        )
        self.widget = w.VBox([button, self.text]).add_class("fnb-code-box")
        model.observe(self._show, [*RunModel.SETTINGS, "pipeline", "source", "blocked"])
        self._show()

    def _show(self, _change: Any = None) -> None:
        code = self.model.code()
        self.text.rows = min(60, 1 + code.count("\n"))
        self.text.value = code
