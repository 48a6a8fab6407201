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


def check_versions(
    wanted: Mapping[str, str], here: Mapping[str, str] | None = None, host: str = ""
) -> None:
    """Raise DhsError if a host has others than the run that it works for.

    here, host : versions that are there and the host's name; by default this process's own
    """
    host = host or os.uname().nodename
    for name, found in (here or versions()).items():
        if wanted[name] != found:
            raise DhsError(
                f"a worker on {host} has {name} {found} where the run was begun with "
                f"{wanted[name]}; install the same on every host"
            )
