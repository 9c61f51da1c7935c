# `make run` and `make test` are each enough by themselves on a fresh clone; they need Python 3.11 and `make`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/locked
INSTALLED := $(VENV)/installed

# Where `make run` simulates a store and keeps what it makes.
DATA := runs/data
WORKSPACE := runs/workspace
DAYS := 3

define NEXT
Look at
  $(BIN)/wdr models show --workspace $(WORKSPACE)      what the version that serves was made from
  $(BIN)/wdr models history --workspace $(WORKSPACE)   how each model did on the day after its own
  $(WORKSPACE)/reports/                          each run's report
Try next
  $(BIN)/wdr serve --models $(WORKSPACE)/serving       and, in a second terminal:
  $(BIN)/wdr rank --model app_store --context '{"country": "us", "hour": 20}' --items com.store.app1,com.store.app2
  docs/tutorials/your_own_logs.md                from your own logs to a config
endef
export NEXT

# TFX's wheels name glibc 2.39 as their platform; deploy/old_glibc makes them run on older ones.
PLATFORM := x86_64-manylinux_2_39

# A file of tests shares its fixtures and runs on one worker. The files start in the order of their names.
# The ten slowest tests are listed at the end.
ON_TWO_CORES := -n 2 --dist loadfile --no-loadscope-reorder --durations 10

# Where it is set, as in many images, each of the processes that the tests start would compile the project's code again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: environment setup run airflow client quick test test-all soak lint lock docs clean

setup: $(INSTALLED)

# The packages of the lock file alone: a layer of the image, which a change of the product's code leaves as it is.
environment: $(LOCKED)

# Bytecode: where PYTHONDONTWRITEBYTECODE is set, as in many images, each process would compile 9,000 modules again, 10 s.
$(LOCKED): requirements.lock deploy/old_glibc/relink.py deploy/old_glibc/compat.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --python-platform $(PLATFORM) --no-deps --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/python deploy/old_glibc/relink.py
	touch $@

$(INSTALLED): $(LOCKED) pyproject.toml setup.py
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	for day in $$(seq 1 $(DAYS)); do \
	  test -e $(DATA)/impressions/day-$$day/_SUCCESS || \
	    $(BIN)/wdr simulate --out $(DATA) --first-day $$day --days 1 || exit 1; \
	  $(BIN)/wdr run configs/app_store.yaml --data $(DATA) --workspace $(WORKSPACE) --span $$day || exit 1; \
	done
	$(BIN)/wdr models list --workspace $(WORKSPACE)
	@echo "$$NEXT"

# The simulated store's days on Airflow: the pages open in a browser, Ctrl-C ends it.
airflow: setup
	test -e $(DATA)/impressions/day-$(DAYS)/_SUCCESS || $(BIN)/wdr simulate --out $(DATA) --days $(DAYS)
	$(BIN)/python deploy/airflow/standalone.py --data $(DATA) --workspace runs/scheduled \
	  --start $$(date --utc --date '-$(DAYS) days -1 day' +%F)

# The wheel of the ranking client alone.
client: setup
	$(BIN)/python deploy/client/build.py --out dist

# While one works on a change: what the change touches, against the branch that it will land on.
quick: setup
	$(BIN)/python -m tests.quick

test: setup
	$(BIN)/python -m pytest $(ON_TWO_CORES) -m "not slow"

# Quick and slow tests in one run: many files have both, and make what these share only once.
test-all: setup
	$(BIN)/python -m pytest $(ON_TWO_CORES)

# Campaigns that take longer than tests may; each has a short form in `make test-all`.
soak: setup
	$(BIN)/python -m tests.soak.kills
	$(BIN)/python -m tests.soak.kills --late-labels --kills 10
	$(BIN)/python -m tests.soak.stage_kills
	$(BIN)/python -m tests.soak.same_bytes
	$(BIN)/python -m tests.soak.same_bytes --hot
	$(BIN)/python -m tests.soak.bad_days
	$(BIN)/python -m tests.soak.bad_models
	$(BIN)/python -m tests.soak.bad_scores
	$(BIN)/python -m tests.soak.retrainings
	$(BIN)/python -m tests.soak.ten_days
	$(BIN)/python -m tests.soak.many_days
	$(BIN)/python -m tests.soak.kubeflow_steps
	$(BIN)/python -m tests.soak.backfill
	$(BIN)/python -m tests.soak.stock_transform
	$(BIN)/python -m tests.soak.abandoned_calls
	$(BIN)/python -m tests.soak.serving_log_kills
	$(BIN)/python -m tests.soak.served_loop
	unshare -rmn $(BIN)/python -m tests.soak.outages
	@if [ -n "$(TF_SERVING)" ]; then $(BIN)/python -m tests.soak.tf_serving_tests "$(TF_SERVING)"; \
	else echo "TF Serving's own tests need TF_SERVING=CHECKOUT: left out"; fi
	for airflow in 3.3 2.11; do for metadata in sqlite postgresql; do \
	  $(BIN)/python -m tests.soak.airflow --airflow $$airflow --metadata $$metadata || exit 1; \
	done; done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as HTML; a warning, such as a link that leads nowhere, is an error.
docs: setup
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html

# Every version, with hashes, for the one platform that TFX's Linux wheels allow.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra docs --extra setup --python-version 3.11 --python-platform $(PLATFORM) \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	  --allow-unsafe --output-file requirements.lock
	for version in 2.11 3.3; do \
	  $(BIN)/uv pip compile deploy/airflow/requirements-$$version.in --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	    --output-file deploy/airflow/requirements-$$version.lock || exit 1; \
	done

clean:
	rm -rf $(VENV) runs build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache
