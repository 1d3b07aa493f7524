"""View of the predicted time and memory of a run."""

from __future__ import annotations

from facet_nb.core.errors import FacetError
from facet_nb.models import RunModel
from facet_nb.models.time_forecast import TimeForecast
from facet_nb.widgets.fragments import write_duration, write_text


def write_forecast(model: RunModel) -> str:
    """Return the predicted time and memory of a run, or why they are unknown, as HTML."""
    if model.blocked:
        return f'<span class="fnb-wrong" role="alert">{write_text(model.blocked)}</span>'
    try:
        forecast = model.forecast()
    except FacetError as error:
        return f'<span class="fnb-wrong">{write_text(error)}</span>'
    return f"<strong>Forecast</strong> {write_text(describe_forecast(forecast))}"


def describe_forecast(forecast: TimeForecast) -> str:
    """Return a forecast in one sentence."""
    if forecast.time_s is None:
        time = f"time {forecast.basis}"
    else:
        low, high = map(write_duration, forecast.time_s)
        span = f"about {low}" if low == high else f"{low} to {high}"
        time = f"time {span} ({forecast.basis})"
    if forecast.memory_bytes is None:
        return f"{time}; memory unknown."
    return f"{time}; memory up to {forecast.memory_bytes / 1e6:.0f} MB, including libraries."
