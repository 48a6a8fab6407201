"""Every gate on a stamp set. A new gate is a new function in its group's list.

A gate is named by its group and its function. Gates of integrity judge the count of all rows, the
others a sample of whole pairs. Every gate states its limit where it is judged; n counts unique
hosts unless it says otherwise.
"""

from collections.abc import Callable

import numpy as np

from darkhaloscope.evaluate.balance import BALANCE
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.integrity import COUNTED
from darkhaloscope.evaluate.physics import PHYSICS
from darkhaloscope.evaluate.probes import probe_all
from darkhaloscope.evaluate.realism import REALISM
from darkhaloscope.evaluate.sample import Columns
from darkhaloscope.evaluate.tally import Tally

SAMPLED = {"physics": PHYSICS, "realism": REALISM, "balance": BALANCE}


def judge(tally: Tally, columns: Columns) -> list[Finding]:
    """All gates that need nothing but the set itself; those whose columns are not there, skipped.

    tally : of all rows; columns : a sample of whole pairs, see sample.Columns
    Raises ValueError if no row is of kind lens
    """
    if not tally.kinds["lens"]:
        raise ValueError("no row is of kind lens, so there is nothing to judge")
    with np.errstate(all="ignore"):  # impossible values are what gates are for
        return [
            *(gate(tally) for gate in COUNTED),
            *(_asked(gate, f"{group}.{gate.__name__}", columns)
              for group, gates in SAMPLED.items() for gate in gates),
            *probe_all(columns),
        ]  # fmt: skip


def _asked(gate: Callable[[Columns], Finding], name: str, columns: Columns) -> Finding:
    try:
        return gate(columns)
    except KeyError as missing:
        column = str(missing.args[0])
        if column in columns:
            raise
        advice = "Sets of another layout are judged by what they have."
        return Finding(name, Level.SKIP, f"no column {column}", "", 0, "", advice)
