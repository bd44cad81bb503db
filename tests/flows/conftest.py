import pytest


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory):
    """A folder that keeps the image from test to test."""
    return tmp_path_factory.mktemp("image-cache")
