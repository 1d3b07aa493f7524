"""Store the acquisition window in the metadata."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers import spacing
from facet_nb.preprocessing.triggers import TriggerStep


@register_processor
class CutAcquisitionWindow(TriggerStep):
    """Store the start and end of the acquisition, and the extent of an epoch.

    No sample is removed: the recording stays complete, and steps that need the window read it from
    the metadata (``acq_start_sample`` and ``acq_end_sample``, first and last sample;
    ``pre_trigger_samples`` and ``post_trigger_samples``). To remove time, use :class:`Crop`.

    Parameters
    ----------
    pre_padding_samples : int | None
        Samples of an epoch before its trigger; by default from the start of the artifact
        (``metadata.artifact_to_trigger_offset``).
    post_padding_samples : int | None
        Samples of an epoch from its trigger on; by default the rest of the artifact.
    """

    name = "cut_acquisition_window"
    description = "Store the acquisition window"
    requires_triggers = True

    def __init__(
        self, pre_padding_samples: int | None = None, post_padding_samples: int | None = None
    ) -> None:
        self.pre_padding_samples = pre_padding_samples
        self.post_padding_samples = post_padding_samples

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        for name in ("pre_padding_samples", "post_padding_samples"):
            _choose(name, getattr(self, name), 0)

    def find(self, context: ProcessingContext) -> tuple[ProcessingMetadata, dict[str, Any]]:
        raw, metadata = context.get_raw(), context.metadata
        triggers = np.sort(np.asarray(metadata.triggers, dtype=np.int64))
        length = metadata.artifact_length or spacing.artifact_length(triggers)
        if not length:
            raise ValidationError(
                f"{self.name}: the artifact length is not known. Run TriggerDetector first."
            )
        offset = round(metadata.artifact_to_trigger_offset * float(raw.info["sfreq"]))
        pre = _choose("pre_padding_samples", self.pre_padding_samples, max(0, -offset))
        post = _choose("post_padding_samples", self.post_padding_samples, int(length) - pre)
        start = max(0, int(triggers[0]) - pre)
        end = min(int(raw.n_times), int(triggers[-1]) + max(1, post)) - 1
        window = {
            "pre_trigger_samples": pre,
            "post_trigger_samples": post,
            "acq_start_sample": start,
            "acq_end_sample": end,
        }
        new = metadata.updated(**window)
        new.custom["acquisition"] = {**window, "upsampling_factor": metadata.upsampling_factor}
        return new, window


@register_processor
class PasteAcquisitionWindow(TriggerStep):
    """Close the window of :class:`CutAcquisitionWindow`.

    No sample was removed, so none is restored: ``metadata.custom["acquisition"]`` gets
    ``paste_applied`` and the window at the current sampling rate. Without a window nothing changes.
    """

    name = "paste_acquisition_window"
    description = "Close the acquisition window"
    requires_raw = False

    def find(self, context: ProcessingContext) -> tuple[ProcessingMetadata, dict[str, Any]]:
        metadata = context.metadata
        if metadata.acq_start_sample is None or metadata.acq_end_sample is None:
            return metadata, {"paste_applied": False}
        new = metadata.copy()
        new.custom["acquisition"] = {
            **new.custom.get("acquisition", {}),
            "acq_start_sample": new.acq_start_sample,
            "acq_end_sample": new.acq_end_sample,
            "paste_applied": True,
        }
        return new, {"paste_applied": True}


def _choose(name: str, given: int | None, usual: int) -> int:
    if given is None:
        return usual
    if int(given) != given or given < 0:
        raise ValidationError(f"{name}={given!r} must be a whole number of samples, 0 or more.")
    return int(given)
