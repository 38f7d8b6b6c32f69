"""Declarations: a slip names the data set and says what to do."""

from __future__ import annotations

import dataclasses

import pytest

from district.dataset import DatasetError
from importing import CHILDREN


def test_the_calendar_s_table_is_no_data_set_s() -> None:
    with pytest.raises(DatasetError, match="Data set calendar_date: its table's name is taken"):
        dataclasses.replace(CHILDREN, name="calendar_date")
