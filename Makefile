# `make figures` and `make test` start from a bare machine with Python 3.11+ and make.
# The stamps in each environment record what is installed there: a second call installs nothing.

PYTHON ?= python3
VENV   := .venv
ORACLE := .venv-oracle
MATRIX := .venv-matrix
PEERS  := .venv-peers
PY     := $(VENV)/bin/python
PIN    := -q --disable-pip-version-check -c constraints.txt
FROZEN := pyproject.toml constraints.txt shiftscope.py # the last holds the version
JOBS   ?= 2# processes of the test suite, each with a part of the cores
PYTEST := -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder
# Bytecode is kept, also where the environment says no: of 27,000 lines of tests, and for every process that they start.
unexport PYTHONDONTWRITEBYTECODE

# numpy 1.26 has no wheels for Python 3.13 and later, so the oracle world looks for an older one.
OLD := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
ORACLE_PYTHON := $(shell for p in "$(PYTHON)" python3.12 python3.11; do \
	"$$p" -c '$(OLD)' 2>/dev/null && echo "$$p" && break; done)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help figures check test lint fast pytest nojit oracle notebooks bench docs fuzz matrix clean

help:       ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

figures: $(VENV)/core  ## draw the heatmaps of the bundled photographs into figures/
	$(VENV)/bin/shiftscope heatmaps --out figures

check: lint fast  ## lint and the fast tests: under two minutes

test: lint pytest nojit oracle  ## lint and all tests: with jit, without, and beside dtcwt; under ten minutes

lint: $(VENV)/test  ## ruff, mypy, and the arrows between the rooms
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

fast: $(VENV)/test  ## the tests that are quick
	OMP_NUM_THREADS=1 $(PY) $(PYTEST) -m "not (oracle or slow or notebook)"

pytest: $(VENV)/test  ## the test suite, numba's jit on
	OMP_NUM_THREADS=1 $(PY) $(PYTEST) -m "not oracle"

nojit: $(VENV)/test  ## the tests of compiled loops with numba's jit off, and their coverage
	NUMBA_DISABLE_JIT=1 $(PY) -m pytest -m "nojit and not oracle" --cov --cov-report=term

oracle: $(if $(ORACLE_PYTHON),$(ORACLE)/oracle)  ## numpy 1.26, as in environment.yml: comparisons with dtcwt, every command
	$(if $(ORACLE_PYTHON),OMP_NUM_THREADS=1 $(ORACLE)/bin/python $(PYTEST) -m "oracle or command",@echo \
		"oracle tests skipped: numpy 1.26 needs Python 3.11 or 3.12, and none was found"; test -z "$$CI")

notebooks: $(VENV)/test  ## open the notebooks in JupyterLab
	$(VENV)/bin/jupyter lab notebooks

# without the peers where there is no Python for numpy 1.26
BENCH := $(if $(ORACLE_PYTHON),$(PEERS),$(VENV))
bench: $(BENCH)/$(if $(ORACLE_PYTHON),peers,test)  ## time the transforms and the experiment beside their peers (ten minutes; a minute with QUICK=1)
	$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(CLOCK),--clock $(CLOCK)) $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/docs  ## the documentation site, into docs/_build/html; warnings are errors
	$(PY) -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

fuzz: $(VENV)/fuzz  ## feed the readers of images and checkpoints 200,000 changed files (RUNS=, SEED=)
	$(PY) -m fuzz --runs $(or $(RUNS),200000) --seed $(or $(SEED),1)

matrix: $(MATRIX)/matrix  ## try places, audit and remedies on 20 architectures of timm and torchvision (5 GB, an hour)
	OMP_NUM_THREADS=1 $(MATRIX)/bin/python -m scripts.coverage_matrix results/coverage

clean:      ## remove the environments and everything generated
	rm -rf $(VENV) $(ORACLE) $(MATRIX) $(PEERS) figures build dist *.egg-info .coverage .pytest_cache .mypy_cache \
		.ruff_cache .import_linter_cache .hypothesis fuzz/found docs/_build docs/api docs/notebooks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/core: $(FROZEN) | $(VENV)/made
	$(PY) -m pip install $(PIN) -e .
	@touch $@

$(VENV)/test: $(FROZEN) | $(VENV)/made
	$(PY) -m pip install $(PIN) -e '.[test,notebooks,torch,distributed,sound]'
	@touch $@ $(VENV)/core

$(VENV)/fuzz: $(FROZEN) | $(VENV)/made
	$(PY) -m pip install $(PIN) -e '.[torch,fuzz]'
	@touch $@ $(VENV)/core

$(VENV)/docs: $(FROZEN) | $(VENV)/made
	$(PY) -m pip install $(PIN) -e '.[torch,docs]'
	@touch $@ $(VENV)/core

$(ORACLE)/oracle: $(FROZEN)
	"$(ORACLE_PYTHON)" -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install $(PIN) -e '.[test,torch,distributed,sound,dtcwt]' numpy==1.26.4
	@touch $@

$(PEERS)/peers: $(FROZEN) constraints-peers.txt
	"$(ORACLE_PYTHON)" -m venv $(PEERS)
	{ grep -v '^scipy==' constraints.txt; cat constraints-peers.txt; } > $(PEERS)/constraints.txt
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -c $(PEERS)/constraints.txt \
		-e '.[torch,dtcwt]' pytorch_wavelets ptwt kymatio antialiased-cnns kornia threadpoolctl setuptools tqdm
	@touch $@

$(MATRIX)/matrix: $(FROZEN) constraints-matrix.txt
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed: make matrix PYTHON=python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(MATRIX)
	{ grep -v '^torch==' constraints.txt; cat constraints-matrix.txt; } > $(MATRIX)/constraints.txt
	$(MATRIX)/bin/python -m pip install -q --disable-pip-version-check -c $(MATRIX)/constraints.txt \
		-e . torch torchvision timm
	@touch $@
