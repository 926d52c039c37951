# What people and CI call. Each target installs what it needs into .venv on first use: what trains
# (READY), or also the extras and the tools (COMPLETE). Both have the versions of requirements.lock.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := .venv/.ready
COMPLETE := .venv/.complete
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help train sweep test test-all lint zoo reference recipes bench bench-determinism bench-pipeline bench-predict bench-scale pictures degradation ablation initializers site build lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-20s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cnntrain needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(PIP) --constraint requirements.lock --editable .
	@touch $@

$(COMPLETE): $(READY)
	$(PIP) --requirement requirements.lock
	@touch $@

train: $(READY) ## train LeNet-5 on the digits that come with scikit-learn
	$(BIN)/cnntrain epochs=60 augmentation=shift_flip augmentation.flip=0

sweep: $(READY) ## the same network from four initializers, side by side
	$(BIN)/cnntrain -m initializer=zeros,random_normal,glorot_uniform,he_normal

# A file's tests share a process, and so the runs that they look at.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
test: $(COMPLETE) ## the tests that take minutes
	$(BIN)/pytest -m "not slow" $(PARALLEL)

test-all: $(COMPLETE) ## all tests, also those that take long
	$(BIN)/pytest $(PARALLEL)

lint: $(COMPLETE) ## style, types, and the names of functions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --package cnntrain --cache-dir .mypy_cache/windows
	$(BIN)/mypy --platform darwin --package cnntrain --cache-dir .mypy_cache/macos
	$(BIN)/python scripts/names.py

zoo: $(READY) ## count what every model costs: cnntrain/analysis/zoo.json and docs/models.md
	$(BIN)/python scripts/zoo.py

reference: $(READY) ## docs/reference/, from the options, their signatures and the help texts
	$(BIN)/python scripts/reference.py

recipes: $(READY) ## docs/recipes.md, from what the recipes say of themselves
	$(BIN)/python scripts/recipes.py

bench: $(READY) ## images per second of our training beside Keras, a tutorial's script and PyTorch
	$(BIN)/cnntrain bench $(ARGUMENTS)

bench-determinism: $(READY) ## what determinism costs, in images per second
	$(BIN)/python scripts/bench_determinism.py

bench-pipeline: $(READY) ## images per second of our pipeline beside what tutorials do
	$(BIN)/python scripts/bench_pipeline.py $(ARGUMENTS)

bench-scale: $(READY) ## how a run on a million photos begins and is fed (ARGUMENTS="--folder FOLDER")
	$(BIN)/python scripts/bench_scale.py $(ARGUMENTS)

bench-predict: $(READY) ## photos per second of `cnntrain predict` beside the bare calls
	$(BIN)/python scripts/bench_predict.py $(ARGUMENTS)

pictures: $(COMPLETE) ## docs/pictures/, of commands and pages (needs Chromium; ARGUMENTS="--photos FOLDER --weights FOLDER")
	$(BIN)/python scripts/pictures.py $(ARGUMENTS)

degradation: $(READY) ## the training loss of deep networks, plain and with shortcuts, as a picture
	$(BIN)/python scripts/degradation.py $(ARGUMENTS)

ablation: $(READY) ## cifar10_94_fast with one thing changed at a time; hours
	$(BIN)/python scripts/ablation.py $(ARGUMENTS)

initializers: $(READY) ## how far initializers bring a perceptron on MNIST, as a picture
	$(BIN)/python scripts/initializers.py $(ARGUMENTS)

build: $(COMPLETE) ## sdist and wheel, each tried in a clean environment from an empty directory
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python scripts/try_packages.py dist

site: $(COMPLETE) ## the documentation as web pages, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir site

EXTRAS := optuna ray submitit export jax tensorboard mlflow wandb dev
lock: ## choose the versions of requirements.lock anew (needs uv)
	uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --python-version 3.11 --universal \
		--no-header --quiet --upgrade --output-file requirements.lock

clean: ## remove what was built and installed; outputs/ stays
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache
