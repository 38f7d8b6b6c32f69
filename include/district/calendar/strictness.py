"""How strict a data set's gate is on a day: back-to-school differs from mid-term."""

from __future__ import annotations

import datetime
from dataclasses import replace

from district.calendar.windows import strictness_on
from district.dataset import Dataset, Gate
from district.settings import settings

_SCALED = ("rejected", "withdrawn", "updated", "orphans", "codes", "count", "last_year")


def gate_for(dataset: Dataset, day: datetime.date, school_id: str = "") -> Gate:
    """The data set's gate as the calendar has it on a day for a school, or for the district as a whole."""
    window = strictness_on(settings().district, school_id, day)
    if window is None:
        return dataset.gate
    scaled = {name: min(1.0, getattr(dataset.gate, name) * window.scale) for name in _SCALED}
    own = window.gates[dataset.name].model_dump(exclude_none=True) if dataset.name in window.gates else {}
    return replace(dataset.gate, **{**scaled, **own})
