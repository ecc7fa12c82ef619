# The two commands are `make run` and `make test`; both set up what they need. The others are for those who work on it.
.PHONY: run test bench chaos lint format lock translations screenshots clean

VENV := .venv
PYTHON := $(VENV)/bin/python
# An address of its own follows from PORT, unless one was given.
ifdef PORT
export SITE_URL ?= http://127.0.0.1:$(PORT)
endif

run: $(VENV)/.installed
	@$(PYTHON) -m backoffice.first_run
	@$(PYTHON) manage.py prepare
	@exec $(PYTHON) manage.py serve

test: $(VENV)/.installed-dev
	@$(PYTHON) -m tests

# Figures, as tables in Markdown; docs/figures.md holds a run of each. NAMES="latency full" runs some of them.
bench: $(VENV)/.installed-dev
	@$(PYTHON) -m tests.bench $(NAMES)

# Faults, likewise; takes some twenty minutes.
chaos: $(VENV)/.installed-dev
	@$(PYTHON) -m tests.chaos $(NAMES)

lint: $(VENV)/.installed-dev
	@$(PYTHON) -m tests --lint-only

format: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format .

screenshots: $(VENV)/.installed-dev
	@$(PYTHON) -m tests.browser.screenshots

# Collects every string into the catalogues and compiles them.
translations: $(VENV)/.installed-dev
	@ENV_FILE= SECRET_KEY=none $(PYTHON) manage.py translations

# Takes the newest versions that pyproject.toml allows. No host is named in what it writes.
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: $(VENV)/.installed-dev
	@$(VENV)/bin/$(COMPILE) pyproject.toml -o requirements.lock
	@$(VENV)/bin/$(COMPILE) pyproject.toml --group dev -o requirements-dev.lock
	@echo uv | $(VENV)/bin/$(COMPILE) --no-annotate - -o requirements-uv.lock

# uv installs in seconds what takes pip half a minute; where it cannot be had, pip does the same work.
define install
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; python3 is' "$$(python3 -V 2>&1)" >&2; exit 1; }
	@$(PYTHON) -c '' 2>/dev/null || python3 -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock 2>/dev/null \
		&& $(VENV)/bin/uv pip install --quiet --python $(PYTHON) --require-hashes -r $(1) \
		|| $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
endef

$(VENV)/.installed: requirements.lock requirements-uv.lock
	@echo 'Installing …'
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements-uv.lock
	@echo 'Installing …'
	$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
