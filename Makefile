# Everything runs in .venv, which `pip` fills; nothing else is needed than python3, pip and make.

PYTHON ?= python3
BIN := .venv/bin
# What a user needs, and what those who change cldfc need beside it.
INSTALLED := .venv/installed
DEVELOPING := .venv/developing
# Where the much smaller torch without CUDA is. It is taken on Linux where there is no NVIDIA driver and the index answers;
# options of pip in TORCH, such as TORCH='--no-cache-dir', are taken as they are.
CPU_WHEELS ?= https://download.pytorch.org/whl/cpu
TORCH ?= $$(tools/cpu_wheels.sh $(PYTHON) $(CPU_WHEELS))
SPEC ?= preact18_Al
RUN := runs/$(SPEC)-$(shell date +%Y%m%d-%H%M%S)
MINUTES ?= 8
JOBS ?= auto
QUICK := tests/test_syntax.py tests/test_errors.py tests/test_format.py tests/test_library.py tests/test_emit.py tests/test_cost.py tests/train/test_recipe.py
# Those of which `make test` runs a part.
SWEEPS := $(addprefix tests/, $(addsuffix .py, test_adjoints test_cli test_contributing test_cost test_cuda_script test_derive test_differential test_dimensions test_docs \
	test_editors test_emit test_errors test_fold_norms test_format test_formats test_fuzz test_language test_latex test_library test_lsp test_multigrid \
	test_networks test_output test_pages test_picture test_processors test_published test_python_runs test_rearranged test_recursion test_reference test_remarks \
	test_reproduce test_reserved test_scalars test_schedule test_shared_norms test_simplify test_specs test_theorem test_verify test_words \
	train/test_damage train/test_default_recipe train/test_evaluate train/test_export train/test_groups train/test_idx_files train/test_import_networks \
	train/test_import_weights train/test_job train/test_processes train/test_report train/test_resume train/test_sharing train/test_fast_convolutions \
	train/test_stop train/test_torchrun))
# Threads that wait asleep: on a busy machine those that spin take most of the time.
ASLEEP := OMP_WAIT_POLICY=PASSIVE
WORKERS := -n $(JOBS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST := $(ASLEEP) $(BIN)/python -m pytest $(WORKERS)
SAMPLE ?= 200
SEED ?= 0
ROOMS ?= *
BENCHMARKS ?= front_end generated forms trainer convolutions inference

.PHONY: demo test quick check data docs links golden coverage mutants fuzz torture bench cuda grammar seeds clean

demo: $(INSTALLED)
	@mkdir -p runs
	@$(BIN)/cldfc compile $(SPEC) -o runs/$(SPEC).py
	@echo
	@$(BIN)/cldfc show $(SPEC)
	@echo
	@$(BIN)/cldfc train $(SPEC) --data digits -o $(RUN)
	@$(BIN)/cldfc eval $(RUN)

test: check
	@echo "pytest: all tests, some minutes"
	@$(PYTEST)

# A part of the tests that takes half a minute.
quick: $(DEVELOPING)
	@$(PYTEST) $(QUICK)

check: $(DEVELOPING)
	@echo "ruff, pyright, import-linter: half a minute"
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings >.venv/pyright.log || { cat .venv/pyright.log; exit 1; }
	@$(BIN)/lint-imports >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

# Fashion-MNIST, 31 MB: copied from Debian's package, which root installs where there is one, else fetched.
data: $(INSTALLED)
	@$(BIN)/python tools/fashion_mnist.py

# The book of docs/, in build/docs. A warning is an error, and so is a link that leads nowhere.
docs: .venv/docs
	@$(BIN)/sphinx-build --fail-on-warning --nitpicky --quiet docs build/docs
	@echo build/docs/index.html

# Links to other sites; the only target that needs the network for more than to install.
links: .venv/docs
	@$(BIN)/sphinx-build --builder linkcheck --quiet docs build/links

golden: $(DEVELOPING)
	@$(BIN)/python -m pytest --update-golden tests/test_command_line.py tests/test_compare.py tests/test_data_page.py tests/test_derive.py tests/test_editors.py tests/test_emit.py tests/test_errors.py tests/test_fold_norms.py tests/test_format.py tests/test_formats.py tests/test_operators.py tests/test_show.py

# Which lines of cldfc all tests together run; an error below the floor in pyproject.toml.
coverage: $(DEVELOPING)
	@mkdir -p build/coverage
	@$(BIN)/coverage erase
	@$(ASLEEP) $(BIN)/coverage run -m pytest $(WORKERS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Whether the tests notice changes to the code: a sample of mutants, such as `make mutants ROOMS='cldfc.ops.*' SAMPLE=50 SEED=1`.
mutants: .venv/mutants
	@$(BIN)/python tools/mutants.py '$(ROOMS)' --sample $(SAMPLE) --seed $(SEED)

fuzz: $(DEVELOPING)
	@CLDFC_FUZZ=100000 $(PYTEST) --dist load $(SWEEPS)

torture: $(DEVELOPING)
	@CLDFC_TORTURE=30 $(BIN)/python -m pytest -x tests/train/test_stop.py tests/train/test_groups.py tests/train/test_damage.py tests/train/test_spoiled.py tests/train/test_torchrun.py tests/test_cuda_script.py

# About an hour on two quiet cores, and docs/performance.md. One that fails or takes far too long leaves its last results.
bench: $(DEVELOPING)
	@$(MAKE) --no-print-directory .venv/bench || echo "without PyPI's mgnet"
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || failed="$$failed $$name"; done; \
	$(BIN)/python -m benchmarks.page; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# A machine with a CUDA device has a torch of its own, and need have no network to make .venv with.
cuda:
	@if [ -e $(INSTALLED) ]; then python=$(BIN)/python; \
	elif $(PYTHON) -c 'import torch' 2>/dev/null; then python=$(PYTHON); \
	else $(MAKE) --no-print-directory $(INSTALLED) && python=$(BIN)/python || exit; fi; \
	"$$python" benchmarks/cuda.py --minutes $(MINUTES) $(if $(WHEELS),--wheels '$(WHEELS)') $(if $(DATA),--data-dir '$(DATA)')

grammar: $(DEVELOPING)
	@PYTHONHASHSEED=0 $(BIN)/python -m cldfc.syntax.build_tables

seeds: $(DEVELOPING)
	@$(BIN)/python benchmarks/seeds.py

$(INSTALLED): pyproject.toml
	@echo "making .venv: torch and what else cldfc needs, a minute or two"
	@$(PYTHON) -m venv .venv
	@tools/say_size.sh .venv $(BIN)/pip install --disable-pip-version-check $(TORCH) --editable .
	@touch $@

$(DEVELOPING): $(INSTALLED)
	@echo "making .venv: the tools for tests and checks, a minute"
	@tools/say_size.sh .venv $(BIN)/pip install --disable-pip-version-check $(TORCH) --editable '.[dev]'
	@touch $@

.venv/mutants: $(DEVELOPING)
	@tools/say_size.sh .venv $(BIN)/pip install --disable-pip-version-check $(TORCH) --editable '.[mutants]'
	@touch $@

.venv/bench: $(DEVELOPING)
	@tools/say_size.sh .venv $(BIN)/pip install --disable-pip-version-check $(TORCH) --editable '.[bench]'
	@touch $@

.venv/docs: $(DEVELOPING)
	@tools/say_size.sh .venv $(BIN)/pip install --disable-pip-version-check $(TORCH) --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv build dist mutants
