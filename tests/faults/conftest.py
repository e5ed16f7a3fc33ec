import pytest

from jaxgan.runs import launch


@pytest.fixture
def start(toy_config, toy_data):
    """Runs the command on the toy data, and returns its exit code."""

    def start(*flags):
        try:
            launch.main(toy_config, [*map(str, flags), "--devices", "1"])
        except SystemExit as stopped:
            return stopped.code
        return 0

    return start
