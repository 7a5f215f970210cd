# make demo: the paper's comparison on numerical phantoms, in minutes.   make test: the tests.
# Both make their own virtual environment in .venv and need only Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
CSMRI := $(VENV)/bin/csmri
DEMO := demo

.PHONY: demo test test-slow lint clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(CSMRI) phantom $(DEMO)/phantoms --domain york --subjects 8 --size 96 --slices 5
	$(CSMRI) phantom $(DEMO)/phantoms --domain k --subjects 5 --size 96 --slices 5
	$(CSMRI) prepare $(DEMO)/phantoms $(DEMO)/store --split configs/demo_split.toml
	$(CSMRI) train configs/demo_pretrain.toml --store $(DEMO)/store --out $(DEMO)/pretrain
	$(CSMRI) train configs/demo_target.toml --store $(DEMO)/store --out $(DEMO)/standalone
	$(CSMRI) train configs/demo_target.toml --store $(DEMO)/store --out $(DEMO)/transfer --init $(DEMO)/pretrain/models/final
	$(CSMRI) evaluate $(DEMO)/standalone/models/final $(DEMO)/transfer/models/final $(DEMO)/store --out $(DEMO)/results
	$(CSMRI) reconstruct $(DEMO)/phantoms/k_phantom_003.npz $(DEMO)/results/beating.gif --model $(DEMO)/transfer/models/final --acceleration 4
	$(CSMRI) figures $(DEMO)/results --run $(DEMO)/standalone --run $(DEMO)/transfer
	@echo "Look at $(DEMO)/results: reconstructions.png, learning_curves.png, beating.gif"

test: $(VENV)/tested
	$(VENV)/bin/python -m pytest

test-slow: $(VENV)/tested
	$(VENV)/bin/python -m pytest -m slow

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
