"""Recordings in files, as the tests of reading and writing have them."""

from tests.io.conftest import recording, sources

__all__ = ["recording", "sources"]
