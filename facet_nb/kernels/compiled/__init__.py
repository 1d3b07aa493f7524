"""All code that Numba compiles.

Import these modules through :func:`.dispatch.find_compiled` only: it returns None where Numba is
missing or switched off, so that callers fall back to NumPy.
"""
