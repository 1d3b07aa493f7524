"""``python -m facet_nb.cli``."""

from __future__ import annotations

from facet_nb.cli import main

if __name__ == "__main__":
    main()
