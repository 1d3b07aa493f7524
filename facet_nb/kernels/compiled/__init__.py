"""Everything that numba compiles; :mod:`.dispatch` is the only way in."""
