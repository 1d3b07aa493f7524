"""Figures of quality, spectra and envelopes."""
