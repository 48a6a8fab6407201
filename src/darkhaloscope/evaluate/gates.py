"""Every gate on a stamp set. A new gate is a new function in its group's list.

Gates of integrity judge the count of all rows, the others a sample of whole pairs. Every gate
states its limit where it is judged; n counts unique hosts unless it says otherwise.
"""

import numpy as np

from darkhaloscope.evaluate.balance import BALANCE
from darkhaloscope.evaluate.findings import Finding
from darkhaloscope.evaluate.integrity import COUNTED
from darkhaloscope.evaluate.physics import PHYSICS
from darkhaloscope.evaluate.probes import probe_all
from darkhaloscope.evaluate.realism import REALISM
from darkhaloscope.evaluate.sample import Columns
from darkhaloscope.evaluate.tally import Tally


def judge(tally: Tally, columns: Columns) -> list[Finding]:
    """All gates that need nothing but the set itself.

    tally : of all rows; columns : a sample of whole pairs, see sample.Columns
    Raises ValueError if no row is of kind lens
    """
    if not tally.kinds["lens"]:
        raise ValueError("no row is of kind lens, so there is nothing to judge")
    with np.errstate(all="ignore"):  # impossible values are what gates are for
        return [
            *(gate(tally) for gate in COUNTED),
            *(gate(columns) for gate in (*PHYSICS, *REALISM, *BALANCE)),
            *probe_all(columns),
        ]
