"""What the tests of this folder share."""

from __future__ import annotations

import pytest
from codegen_server import post_office

from dovetail import App


@pytest.fixture
def app() -> App:
    """One server that has a bit of everything."""
    return post_office()
