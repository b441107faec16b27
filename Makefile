# Everything runs in .venv, which `pip` fills; nothing else is needed than python3, pip and make.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
SPEC ?= preact18_Al
RUN := runs/$(SPEC)-$(shell date +%Y%m%d-%H%M%S)
MINUTES ?= 8
QUIET := --quiet --disable-pip-version-check

.PHONY: demo test check data docs links golden fuzz torture bench cuda grammar seeds clean

demo: $(INSTALLED)
	@mkdir -p runs
	@$(BIN)/cldfc compile specs/$(SPEC).cldf -o runs/$(SPEC).py
	@echo
	@$(BIN)/cldfc show specs/$(SPEC).cldf
	@echo
	@$(BIN)/cldfc train specs/$(SPEC).cldf --data digits -o $(RUN)
	@$(BIN)/cldfc eval $(RUN)

# Threads that wait asleep: on a busy machine those that spin take most of the time.
test: check
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest

check: $(INSTALLED)
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings >.venv/pyright.log || { cat .venv/pyright.log; exit 1; }
	@$(BIN)/lint-imports >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

# Fashion-MNIST, 31 MB: copied from Debian's package, which root installs where there is one, else fetched.
data: $(INSTALLED)
	@$(BIN)/python -m cldfc.train.data.obtain

# The book of docs/, in build/docs. A warning is an error, and so is a link that leads nowhere.
docs: .venv/docs
	@$(BIN)/sphinx-build --fail-on-warning --nitpicky --quiet docs build/docs
	@echo build/docs/index.html

# Links to other sites; the only target that needs the network for more than to install.
links: .venv/docs
	@$(BIN)/sphinx-build --builder linkcheck --quiet docs build/links

golden: $(INSTALLED)
	@$(BIN)/python -m pytest --update-golden tests/test_command_line.py tests/test_compare.py tests/test_derive.py tests/test_editors.py tests/test_emit.py tests/test_errors.py tests/test_fold_norms.py tests/test_format.py tests/test_formats.py tests/test_operators.py tests/test_show.py

fuzz: $(INSTALLED)
	@CLDFC_FUZZ=100000 $(BIN)/python -m pytest -x tests/test_fuzz.py tests/test_differential.py

torture: $(INSTALLED)
	@CLDFC_TORTURE=30 $(BIN)/python -m pytest -x tests/train/test_stop.py tests/train/test_damage.py tests/train/test_torchrun.py

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/front_end.py
	@$(BIN)/python benchmarks/generated.py
	@$(BIN)/python benchmarks/forms.py
	@$(BIN)/python benchmarks/trainer.py
	@$(BIN)/python benchmarks/inference.py

# A machine with a CUDA device has a torch of its own, and need have no network to make .venv with.
cuda:
	@if [ -e $(INSTALLED) ]; then python=$(BIN)/python; \
	elif $(PYTHON) -c 'import torch' 2>/dev/null; then python=$(PYTHON); \
	else $(MAKE) --no-print-directory $(INSTALLED) && python=$(BIN)/python || exit; fi; \
	"$$python" benchmarks/cuda.py --minutes $(MINUTES) $(if $(WHEELS),--wheels '$(WHEELS)') $(if $(DATA),--data-dir '$(DATA)')

grammar: $(INSTALLED)
	@PYTHONHASHSEED=0 $(BIN)/python -m cldfc.syntax.build_tables

seeds: $(INSTALLED)
	@$(BIN)/python benchmarks/seeds.py

$(INSTALLED): pyproject.toml
	@echo "making .venv (a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install $(QUIET) --editable '.[dev]'
	@touch $@

.venv/docs: $(INSTALLED)
	@$(BIN)/pip install $(QUIET) --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv build dist
