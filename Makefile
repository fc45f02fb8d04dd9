# make run     the whole experiment on a phantom, MLflow included; needs only Python 3.11
# make test    the tests (make test-long: the minutes-long ones; make test-mutants: whether they find faults);  make lint   style and types;  make ui   the MLflow UI;  make bench   the benchmarks that need no data and no GPU (benchmarks/gpu.py needs both)

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode
# Which PyTorch: cpu (a tenth of the size) where no NVIDIA driver is found, else the CUDA build. make setup TORCH=cuda forces it.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
OUT ?= runs
PORT ?= 5000

.PHONY: setup run test test-long test-mutants test-kubeflow lint ui bench preflight lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt requirements-dev.txt pyproject.toml
	@echo "setting up $(VENV) (about two minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@grep -vE '^(nvidia-|cuda-|triton==)' requirements.txt > $(VENV)/requirements-cpu.txt
	@if [ "$(TORCH)" = cpu ] && UV_HTTP_RETRIES=0 $(UV) --torch-backend=cpu -r $(VENV)/requirements-cpu.txt 2>$(VENV)/cpu.log; then \
	  echo "PyTorch: CPU build"; \
	else \
	  echo "PyTorch: default build"; $(UV) -r requirements.txt; \
	fi
	@$(UV) -r requirements-dev.txt
	@$(UV) --no-deps --editable .
	@touch $@

run: setup
	@$(BIN)/mammogan run --preset demo --out "$(OUT)"

test: setup
	@$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

test-long: setup
	@$(BIN)/python -m pytest -m long

test-mutants: setup
	@$(BIN)/python tests/mutants.py

# Whether your cluster carries the experiment, after preflight: make test-kubeflow HOST=URL IMAGE=NAME@sha256:...
#   STORE=s3://BUCKET/PREFIX TRACKING_URI=URL [SOURCE=s3://...] [NAMESPACE=...] [POD_SETTINGS="accelerators=1 train.cpu=6"];
#   sign-ins as for submit, in KFP_... and MLFLOW_TRACKING_...
test-kubeflow: setup
	@test -n "$(HOST)" -a -n "$(IMAGE)" -a -n "$(STORE)" -a -n "$(TRACKING_URI)" \
	  || { echo "give HOST=..., IMAGE=..., STORE=... and TRACKING_URI=..."; exit 2; }
	@KUBEFLOW_HOST="$(HOST)" KUBEFLOW_IMAGE="$(IMAGE)" KUBEFLOW_STORE="$(STORE)" KUBEFLOW_NAMESPACE="$(NAMESPACE)" \
	  KUBEFLOW_SOURCE="$(SOURCE)" \
	  KUBEFLOW_TRACKING_URI="$(TRACKING_URI)" KUBEFLOW_POD_SETTINGS="$(POD_SETTINGS)" $(BIN)/python -m pytest tests/kubeflow -v -x

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/ty check

ui: setup
	@$(BIN)/mammogan ui --out "$(OUT)" --port $(PORT)

bench: setup
	@for name in endurance evaluate synthesise tracking train_step; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Whether your cluster is ready: make preflight ARGS="--host URL --image NAME@sha256:... --store s3://BUCKET/PREFIX"
preflight: setup
	@$(BIN)/mammogan preflight $(ARGS)

lock:
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra onnx pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra onnx --group dev pyproject.toml -c requirements.txt \
	  | grep -vxFf requirements.txt > requirements-dev.txt

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .ruff_cache
