"""Fixtures of the command line's tests."""

import pytest

from tests.cli.rig import CommandLine


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes]) -> CommandLine:
    """The command line, in this process, on a store of its own."""
    return CommandLine(capsysbinary)
