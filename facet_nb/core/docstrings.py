"""Text that several docstrings share."""

from __future__ import annotations

import re
from textwrap import indent
from typing import TypeVar

T = TypeVar("T")

#: Parts of docstrings that several classes or functions share; see :func:`fill_doc`.
DOCS = {
    "plot_artifacts": """\
plot_artifacts : bool
    Accepted for compatibility with FACETpy; use ``result.plot()`` instead.""",
    "realign_after_averaging": """\
realign_after_averaging : bool
    Whether to shift each trigger to where its template fits the reference channel best.""",
    "search_window_factor": """\
search_window_factor : float
    Largest shift of a trigger, in samples at the original sampling rate.""",
    "interpolate_volume_gaps": """\
interpolate_volume_gaps : bool
    Whether to subtract a straight line from the end of one template to the start of the next.""",
    "apply_epoch_alpha_scaling": """\
apply_epoch_alpha_scaling : bool
    Whether to scale each template to its epoch by least squares. Scaling removes EEG where the
    artifact is weak: leave it off unless the amplitude changes from epoch to epoch.""",
    "ref_channel": """\
ref_channel : int | str | None
    Index or name of the reference channel; the first EEG channel by default.""",
    "subsample": """\
subsample : bool
    Whether to estimate artifact onsets between samples, and to shift epochs and templates by
    fractions of a sample in the Fourier domain. Use it without ``UpSample`` and ``DownSample``.""",
    "exclude_channels": """\
exclude_channels : list of str or int | None
    Channels to leave unchanged.""",
    "hp_filter_weights": """\
hp_filter_weights : ndarray, shape (n_taps,) | None
    A symmetric FIR high-pass filter of odd length to use instead.""",
    "allen_2000": """\
Allen, P. J., Josephs, O., & Turner, R. (2000). A method for removing imaging artifact from
continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
doi:10.1006/nimg.2000.0599""",
    "niazy_2005": """\
Niazy, R. K., Beckmann, C. F., Iannetti, G. D., Brady, J. M., & Smith, S. M. (2005). Removal of
FMRI environment artifacts from EEG data using optimal basis sets. NeuroImage, 28(3), 720-737.
doi:10.1016/j.neuroimage.2005.06.067""",
    "glaser_2013": """\
Glaser, J., Beisteiner, R., Bauer, H., & Fischmeister, F. P. S. (2013). FACET - a "Flexible
Artifact Correction and Evaluation Toolbox" for concurrently recorded EEG/fMRI data. BMC
Neuroscience, 14, 138. doi:10.1186/1471-2202-14-138""",
    "channel_lines": """\
verbose : bool
    Whether to print a line for each channel.""",
    "signals": """\
x : ndarray, shape (n_channels, n_times)
    Signals, any unit; not written to.""",
    "sfreq": """\
sfreq : float
    Sampling rate, in Hz.""",
    "unused_sfreq": """\
sfreq : float
    Sampling rate, in Hz; the result does not depend on it.""",
    "channel_threads": """\
n_workers : int
    Threads that share the channels.""",
    "out": """\
out : ndarray, shape (n_channels, n_times) | None
    Array for the result; must not overlap `x`.""",
    "export_options": """\
overwrite : bool
    Whether to replace existing files.
replace_input : bool
    Whether the export may replace the file that the recording was read from.
provenance : bool
    Whether to tell how the file was made, inside it (a line, where the format has room) and in
    ``NAME_provenance.json`` beside it; see :func:`facet_nb.read_provenance`. The input files
    are hashed for it.
anonymize : bool
    Whether to leave out what the header says about a person, as ``mne.io.Raw.anonymize`` does.""",
    "export_fails": """\
FacetError
    If it cannot be written, or reading it back gives other data.""",
    "invalid": """\
ValidationError
    If an argument cannot be used.""",
}


def fill_doc(documented: T) -> T:
    """Replace lines ``%(key)s`` in the docstring of a class or function with ``DOCS[key]``.

    This is the convention of MNE-Python; other percent signs need no escape.
    """
    if documented.__doc__:  # None under ``python -OO``
        documented.__doc__ = re.sub(
            r"^( *)%\((\w+)\)s$",
            lambda line: indent(DOCS[line[2]], line[1]),
            documented.__doc__,
            flags=re.MULTILINE,
        )
    return documented
