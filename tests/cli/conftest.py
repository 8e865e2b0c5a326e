"""The study that the tests of commands run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import MakeData


@pytest.fixture
def data(make_data: MakeData) -> Path:
    """Two classes of 5 real and 10 synthetic images each, in the folder that commands start in."""
    return make_data(real=5, synthetic=10)
