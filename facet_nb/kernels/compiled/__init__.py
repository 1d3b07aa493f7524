"""Kernels that are compiled when the package is installed, from the C sources in ``native``.

Import these modules through :func:`.dispatch.find_compiled` only: it returns None where the kernels
are missing or switched off, so that callers fall back to NumPy and SciPy.
"""
