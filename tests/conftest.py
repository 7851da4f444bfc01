"""What several tests share: the folder of test media beside the checkout, the puppet's portrait, the relief engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.contract import FaceObservation
from engines.relief.engine import Relief
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import puppet_portrait

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with `portraits` and `clips`; tests that need it are skipped where it is absent."""
    folder = SHARED / "media"
    if not folder.is_dir():
        pytest.skip("../shared/media is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def relief() -> Relief:
    engine = Relief()
    engine.warm_up()
    return engine


@pytest.fixture(scope="session")
def sample_portrait() -> FaceObservation:
    """The puppet's public-domain photo as enrol() takes it."""
    return observe_portrait(puppet_portrait())
