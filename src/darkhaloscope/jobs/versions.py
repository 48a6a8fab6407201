"""What computes: another version may give other last bits, and parts are never mixed."""

import os
from collections.abc import Mapping

import numpy as np
import torch

from darkhaloscope import __version__
from darkhaloscope.errors import DhsError


def versions() -> dict[str, str]:
    """Of this package and of the libraries that the bits depend on."""
    return {"dhs": __version__, "torch": torch.__version__, "numpy": np.__version__}


def check_versions(identity: Mapping[str, str]) -> None:
    """Raise DhsError if this process has others than the run that it works for."""
    for name, here in versions().items():
        if identity[name] != here:
            raise DhsError(
                f"a worker on {os.uname().nodename} has {name} {here} where the run was begun with "
                f"{identity[name]}; install the same on every host"
            )
