# Two commands do everything from a fresh clone with Python >= 3.11: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
# An extra index where pip finds a CPU build of torch, if your usual one has none.
TORCH_INDEX ?=
PIP := $(VENV)/bin/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint requirements.lock $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# pip would compile 23,000 files one after another; a file that does not compile is only slower.
COMPILE := $(VENV)/bin/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
BIN := $(VENV)/bin

.PHONY: demo test check format bench accuracy scaling bench-banks bench-cutouts bench-engines bench-plan bench-gates bench-validate bench-train bench-stored-or-fly bench-learning bench-intervals kills recovery sky docs lock clean

demo: $(VENV)/.core
	$(BIN)/dhs demo --out $(OUT)

test: $(VENV)/.dev
	$(BIN)/pytest -n auto $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python docs/make.py --check

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Peers that are installed are timed too: pip install caustics jaxtronomy
bench: $(VENV)/.dev
	$(BIN)/python bench/renderer.py --write
	$(BIN)/python bench/banks.py
	PYTHONPATH=tests $(BIN)/python bench/cutouts.py

accuracy: $(VENV)/.dev
	$(BIN)/python bench/accuracy.py

scaling: $(VENV)/.dev
	$(BIN)/python bench/scaling.py

bench-banks: $(VENV)/.dev
	$(BIN)/python bench/banks.py

bench-cutouts: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python bench/cutouts.py

bench-engines: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python bench/engines.py

# How often each 95% interval holds the truth, over 2,000 experiments: ten minutes.
bench-intervals: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python bench/intervals.py

# SIGKILL runs at random moments, 20 of this machine and 10 of a Spark cluster: a quarter of an hour.
kills: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python bench/kills.py

bench-plan: $(VENV)/.dev
	$(BIN)/python bench/plan.py

# False alarms of gates on healthy sets, and what probes detect: half an hour.
bench-gates: $(VENV)/.dev
	$(BIN)/python bench/alarms.py

bench-validate: $(VENV)/.dev
	$(BIN)/python bench/validate.py

bench-train: $(VENV)/.dev
	$(BIN)/python bench/training.py

# Half an hour on two cores.
bench-stored-or-fly: $(VENV)/.dev
	$(BIN)/python bench/stored_or_fly.py

bench-learning: $(VENV)/.dev
	$(BIN)/python bench/learning.py

recovery: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python bench/recovery.py --write

# The synthetic sky against real DR10 places, hosts and cutouts; needs $$DHS_REAL_DATA.
sky: $(VENV)/.dev
	$(BIN)/python bench/sky.py --write

docs: $(VENV)/.dev
	$(BIN)/python docs/make.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "DarkHaloScope needs Python >= 3.11; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "Installing what the demo needs (a minute or two) ..."
	$(PIP) --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "Installing what tests and checks need (some minutes) ..."
	$(PIP) --editable '.[dev]'
	@$(COMPILE)
	@touch $(VENV)/.core $@

# Resolve once, by hand, when dependencies change; torch stays pinned so that no newer build comes in.
lock: $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --upgrade torch==2.13.0 --editable '.[dev]'
	$(VENV)/bin/python -m pip freeze --exclude-editable --exclude pip | sed "s/+cpu$$//" > requirements.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
