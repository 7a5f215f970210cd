# make demo: the paper's comparison on numerical phantoms, in minutes.   make test: the tests.
# Both make their own virtual environment in .venv and need only Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
CSMRI := $(VENV)/bin/csmri
# A file's tests share what they train, so they stay together, and tests/conftest.py says which files go first;
# a process takes 2 GiB.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
DEMO := demo

.PHONY: demo test test-slow bench lint clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(CSMRI) phantom $(DEMO)/phantom --domain k --subjects 1 --first 9 --size 128 --slices 1
	$(CSMRI) reconstruct $(DEMO)/phantom/k_phantom_009.npz $(DEMO)/reconstructed.npz --model pretrained-unrolled \
		--acceleration 4 --picture $(DEMO)/beating.gif --caption "Numerical phantom of csmri, no real person"
	@echo "Look at $(DEMO)/beating.gif: ground truth, initial reconstruction, unrolled network. The study takes minutes more."
	$(CSMRI) study configs/study_demo.toml --out $(DEMO)
	$(CSMRI) study configs/study_demo.toml --out $(DEMO)
	@echo "Open $(DEMO)/report.html; look at $(DEMO)/fig3_learning_curves.png and $(DEMO)/beating.gif"

test: $(VENV)/tested
	$(PYTEST)

test-slow: $(VENV)/tested
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile slow

# Some 20 minutes of a machine that does nothing else. Peers take part where they are installed: pip install '.[peers]', Debian: bart.
bench: $(VENV)/installed
	for question in inference training simulation methods growth startup; do \
		TF_CPP_MIN_LOG_LEVEL=3 $(VENV)/bin/python benchmarks/$$question.py || exit 1; \
	done
	$(VENV)/bin/python benchmarks/goals.py

lint: $(VENV)/tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "csmri needs Python 3.11 or newer; call make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/tested: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/installed
