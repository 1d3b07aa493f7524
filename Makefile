# Everything a clone needs: Python 3.11 or later, GNU make and git. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STUDIO := notebooks/02_studio.ipynb
ARGS ?=

# A stamp says which extras are installed for this pyproject.toml, these constraints and these kernels
# in C. A change of any file makes it old; otherwise nothing is asked of pip again.
CORE := $(VENV)/.stamp-core
LAB := $(VENV)/.stamp-lab
TEST := $(VENV)/.stamp-test
DOCS := $(VENV)/.stamp-docs
PINS := pyproject.toml setup.py constraints.txt $(wildcard facet_nb/kernels/compiled/native/*)

# Solutions of the course run in tests/course, without a kernel; the other notebooks in tests/project.
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=240 --ignore=notebooks/course/solutions

# All other tests run in three processes. Meanwhile these run in one of their own: Playwright's loop of
# events lets nothing else follow it there, and a browser takes a core and a gigabyte by itself.
OWN := tests/core/test_forecast.py tests/browser
# These run when nothing else does: they measure the load of the machine, or how soon something happens.
ALONE := tests/benchmark/test_machine_load.py tests/benchmark/test_memory.py tests/widgets/test_traffic.py
# What `make quick` runs.
QUICK := tests/project/test_house.py tests/project/test_text.py tests/project/test_architecture.py \
  tests/project/test_contributing.py tests/project/test_public_names.py tests/core/test_plain_path.py \
  tests/core/test_context.py tests/core/test_pipeline.py tests/core/test_plan.py \
  tests/core/test_modes.py tests/kernels/test_averaging.py tests/kernels/test_windowed_sinc.py \
  tests/kernels/test_subsample.py tests/correction/test_aas.py tests/io/test_loader.py \
  tests/evaluation/test_calculators.py tests/evaluation/test_truth.py tests/evaluation/test_report.py \
  tests/models/test_chain_model.py tests/models/test_codegen.py
# Without a cache: import-linter would keep what an import meant before its module existed.
LINT = lint=0; \
  $(PY) -m ruff check --quiet . || lint=1; \
  $(PY) -m ruff format --check --quiet . || lint=1; \
  $(PY) -m mypy --no-error-summary || lint=1; \
  $(VENV)/bin/lint-imports --no-logo --no-cache || lint=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab demo test quick lint format docs notebooks lite bench app hooks chromium clean

help: ## this list
	@echo "facet_nb: correction of EEG recorded inside an MRI scanner"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter (now: $(PYTHON)), VENV=path the environment (now: $(VENV))."
	@echo "ARGS=... goes to what the target starts: pytest, JupyterLab, the demo."

# --- environment ---------------------------------------------------------------------------

$(PY):
	@PYTHON="$(PYTHON)" sh .ci/venv "$(VENV)"

# install(extras, stamps that this satisfies)
define install
	@echo "Installing facet_nb$(1) into $(VENV) (a few minutes the first time) ..."
	@$(PIP) install -qq --editable '.$(1)' --constraint constraints.txt \
	  || { echo "The installation failed: see pip's message above." >&2; exit 1; }
	@touch $(2)
endef
, := ,

$(CORE): $(PINS) | $(PY)
	$(call install,,$(CORE))

$(LAB): $(PINS) | $(PY)
	$(call install,[lab],$(CORE) $(LAB))

$(TEST): $(PINS) | $(PY)
	$(call install,[lab$(,)test$(,)docs],$(CORE) $(LAB) $(TEST) $(DOCS))

$(DOCS): $(PINS) | $(PY)
	$(call install,[lab$(,)docs],$(CORE) $(LAB) $(DOCS))

# --- using it ------------------------------------------------------------------------------

lab: $(LAB) ## open the studio notebook in JupyterLab
	@$(PY) -m facet_nb.cli lab $(STUDIO) $(ARGS)

demo: $(CORE) ## the same job without a screen [INPUT=file.vhdr OUTPUT=file TRUTH=file.npz MODE=name]
	@$(PY) -m facet_nb.cli demo $(if $(INPUT),--input "$(INPUT)") $(if $(OUTPUT),--output "$(OUTPUT)") \
	  $(if $(TRUTH),--truth "$(TRUTH)") $(if $(MODE),--mode "$(MODE)") $(ARGS)

app: $(LAB) ## the studio as a web page without code (Voila)
	@$(PY) -m facet_nb.cli app $(ARGS)

# --- checking it ---------------------------------------------------------------------------

# Lint runs beside the tests, which run even where it fails.
test: $(TEST) chromium ## everything: style, types, imports, tests, notebooks, browser
	@( $(LINT); exit $$lint ) & pid=$$!; \
	FACET_NB_FUZZ_S=$${FACET_NB_FUZZ_S:-5} $(PY) .ci/tests.py $(NBVAL) tests notebooks/course $(OWN:%=--ignore=%) $(ALONE:%=--ignore=%) \
	  -- -pno:nbval $(OWN) -- -pno:nbval $(ALONE) -- $(ARGS); tests=$$?; \
	wait $$pid || { echo "Style, types or imports are not as they should be: see above." >&2; exit 1; }; \
	exit $$tests

# Lint and tests side by side: mypy alone takes 40 s of one core when its cache is cold.
quick: $(TEST) ## style, types, imports and a selection of tests: about a minute
	@( $(LINT); exit $$lint ) & pid=$$!; \
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -q -m "not slow and not browser" $(QUICK) $(ARGS); tests=$$?; \
	wait $$pid || { echo "Style, types or imports are not as they should be: see above." >&2; exit 1; }; \
	exit $$tests

lint: $(TEST) ## style, format, types and import contracts
	@$(LINT); exit $$lint

format: $(TEST) ## put the code into its form
	$(PY) -m ruff check --quiet --fix-only .
	$(PY) -m ruff format --quiet .

docs: $(DOCS) ## build the documentation into docs/_build/html
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(LAB) ## write the notebooks from their sources, with results
	$(PY) notebooks/_build/build.py $(ARGS)

lite: $(DOCS) ## the first lessons as pages that run in the browser, into docs/_build/lite
	@$(PIP) install -qq --editable '.[lite]' --constraint constraints.txt
	$(PY) .ci/lite.py docs/_build/lite

bench: $(TEST) ## the chain against its peer (makes an environment of the peer's own)
	$(PY) benchmarks/peer_chain.py

hooks: $(TEST) ## run the checks before each commit (pre-commit)
	@$(PIP) install -qq pre-commit --constraint constraints.txt
	@$(PY) -m pre_commit install

chromium:
	@sh .ci/chromium

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist facet_nb/kernels/compiled/_native.* docs/_build docs/api/generated docs/notebooks facet_nb.egg-info \
	  .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find facet_nb tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
