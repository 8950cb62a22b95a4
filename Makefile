# Two commands for a newcomer: `make quickstart` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
RUNS ?= runs
PYTEST_ARGS ?=
BENCH_ARGS ?=
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PYTHONDONTWRITEBYTECODE :=   # importing torch and transformers uncompiled costs ten seconds a process

.PHONY: help setup quickstart test check format leaderboard study study-figures docs bench constraints

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/installed ## create .venv and install everything (fast when nothing changed)

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

quickstart: setup ## run the quickstart spec from a YAML file to a ranking
	$(BIN)/harness run quickstart --runs-dir $(RUNS)
	$(BIN)/harness report --runs-dir $(RUNS)
	@echo "Open the leaderboard with: make leaderboard"

test: setup ## run the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal --durations=15 $(PYTEST_ARGS)

check: setup ## lint, format, types, import contracts and dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: setup ## fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard: setup ## serve the leaderboard on this machine
	$(BIN)/harness leaderboard --runs-dir $(RUNS)

study: setup ## say what the study's specs would cost; STUDY_ARGS=--run runs them
	for spec in specs/study/*.yaml; do \
	  $(BIN)/harness $(if $(filter --run,$(STUDY_ARGS)),run,plan) $$spec --runs-dir $(RUNS)/study || exit $$?; \
	done

study-figures: setup ## make docs/study.md's tables and figures anew from the board that ships
	$(BIN)/python -m leaderboard.study

docs: setup ## build the documentation as a site in site/
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: setup ## measure against plain PyTorch and TextBrewer, write benchmarks/RESULTS.md
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

constraints: setup ## re-resolve constraints.txt (torch and its CUDA packages stay free)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-package torch \
	  --no-header --no-annotate pyproject.toml | grep -vE '^(nvidia|cuda|triton)' > constraints.txt
