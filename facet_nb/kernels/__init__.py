"""Numerical kernels: pure functions over NumPy arrays.

Kernels take arrays and return new arrays; they never modify their input, log, plot or report
progress. They import NumPy, SciPy and each other, but no other part of the package.

==============  ==================================================================================
``filters``     FIR, recursive and adaptive filters, common reference, regression on wires
``resampling``  Band-limited changes of the sampling rate
``templates``   Artifact templates: which epochs are averaged, and how templates are subtracted
``lowrank``     Low-rank artifact models, and optimal basis sets
``pulse``       Heartbeats and the pulse artifact
``triggers``    Spacing of triggers, the scanner's clock, alignment
``measures``    Figures of quality, spectra and envelopes
``streams``     The same kernels over a signal that arrives in pieces
``compiled``    Kernels in C, reached through ``compiled.dispatch`` only
==============  ==================================================================================
"""
