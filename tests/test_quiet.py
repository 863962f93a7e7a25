"""Libraries are kept silent while they work, and no longer."""

import logging
import warnings

import pytest

from workbench.quiet import quiet


def test_is_silent_and_gives_levels_back_after_an_error(caplog):
    ours = logging.getLogger("some.library")
    ours.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="what matters"), quiet("some.library", "another"):
        logging.getLogger("some.library.part").error("no GPU")
        logging.getLogger("another").warning("neither here")
        warnings.warn("deprecated", stacklevel=1)
        raise ValueError("what matters")
    assert not caplog.records
    assert ours.level == logging.INFO
    ours.info("heard again")
    assert caplog.messages == ["heard again"]
