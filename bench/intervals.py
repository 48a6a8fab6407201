"""`make bench-intervals`: how often each 95% interval holds the truth, over 2,000 experiments.

python bench/intervals.py [EXPERIMENTS]
"""

import sys
import time

from evaluate.experiments import EXPERIMENTS, coverage

if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for name, experiment in EXPERIMENTS.items():
        began = time.monotonic()
        held = coverage(experiment, n)
        print(f"{name:<40} {held:.3f}   {time.monotonic() - began:.0f} s", flush=True)
