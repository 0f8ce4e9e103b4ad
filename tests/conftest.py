"""What every test stands on."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos, models and images beside the checkout; the test is skipped where they are not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA
