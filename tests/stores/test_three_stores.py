"""One random life of tasks on all three stores at once.

Whatever one of them answers, the others answer too.

After each step everything that they hold is compared. The lives are the same in every run of the tests; other ones, twenty times as
many, and a failure made small:

    DULY_EXAMPLES=20 pytest tests/stores/test_three_stores.py --timeout=3600 -o faulthandler_timeout=3700
"""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from support.life import Life
from support.three_stores import Servers, a_few


@pytest.mark.postgres
@pytest.mark.firestore
@pytest.mark.slow
def test_the_three_stores_live_the_same_life(servers: Servers) -> None:
    """Every answer, and after every step all that they hold."""

    class LifeThere(Life):
        def __init__(self) -> None:
            super().__init__(servers)

    run_state_machine_as_test(LifeThere, settings=a_few(examples=25, steps=30))
