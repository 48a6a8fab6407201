"""`sim` and `evaluate` are pure: importing them brings no file, cluster or survey library."""

import json
import subprocess
import sys

_LOOK = """
import importlib, json, pkgutil, sys
import darkhaloscope
names = []
for package in ("sim", "evaluate"):
    module = importlib.import_module(f"darkhaloscope.{package}")
    names += [m.name for m in pkgutil.walk_packages(module.__path__, f"{module.__name__}.")]
for name in names:
    importlib.import_module(name)
wanted = ("pyspark", "galsim", "h5py", "astropy.io", "pyarrow.parquet", "lenstronomy", "matplotlib")
ours = [m for m in sys.modules if m.startswith("darkhaloscope.")]
print(json.dumps([names, [m for m in wanted if m in sys.modules], ours]))
"""


def test_importing_the_physics_and_the_judgement_brings_no_file_library():
    output = subprocess.run(
        [sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    names, found, ours = json.loads(output)
    assert "darkhaloscope.sim.render" in names and "darkhaloscope.evaluate.findings" in names
    assert found == []
    rooms = {name.split(".")[1] for name in ours}
    assert not rooms & {"io", "survey", "jobs", "cli", "report", "grading"}, rooms
