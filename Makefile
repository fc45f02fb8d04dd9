# make run     the whole experiment on a phantom, MLflow included; needs only Python 3.11
# make test    the tests (make test-long: the minutes-long ones; make test-mutants: whether they find faults);  make lint   style and types;  make ui   the MLflow UI;  make bench   the benchmarks that need no data and no GPU (benchmarks/gpu.py needs both)

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Everything is installed as it was locked, by the sha256 of its file, what builds a package included. PyTorch's own index
# has other files than PyPI, without sums here: its CPU build is taken by version.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps \
  --require-build-hashes --build-constraints requirements.txt --build-constraints requirements-dev.txt
LOCKED := $(UV) --require-hashes
# Which PyTorch: cpu (a tenth of the size) where no NVIDIA driver is found, else the CUDA build. make setup TORCH=cuda forces it.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
OUT ?= runs

.PHONY: setup run test test-long test-mutants test-kubeflow lint ui bench preflight lock pin sbom clean

setup: $(VENV)/.ready

$(BIN)/uv: requirements-uv.txt
	@echo "setting up $(VENV) (about two minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

$(VENV)/.ready: $(BIN)/uv requirements.txt requirements-dev.txt pyproject.toml
	@docker/without.sh requirements.txt '^(nvidia-|cuda-|triton==|torch==|torchvision==)' > $(VENV)/requirements-cpu.txt
	@if [ "$(TORCH)" = cpu ] && UV_HTTP_RETRIES=0 $(UV) --torch-backend=cpu \
	    $(shell awk '/^(torch|torchvision)==/ { print $$1 }' requirements.txt) 2>$(VENV)/cpu.log; then \
	  echo "PyTorch: CPU build, by version"; $(LOCKED) -r $(VENV)/requirements-cpu.txt; \
	else \
	  echo "PyTorch: default build"; $(LOCKED) -r requirements.txt; \
	fi
	@$(LOCKED) -r requirements-dev.txt
	@$(UV) --editable .
	@touch $@

run: setup
	@$(BIN)/mammogan run --preset demo --out "$(OUT)"

test: setup
	@$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

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
	@$(BIN)/mammogan ui --out "$(OUT)" $(if $(PORT),--port $(PORT))

bench: setup
	@for name in endurance evaluate synthesise tracking train_step; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Whether your cluster is ready: make preflight ARGS="--host URL --image NAME@sha256:... --store s3://BUCKET/PREFIX"
preflight: setup
	@$(BIN)/mammogan preflight $(ARGS)

# After a change of pyproject.toml: every list anew, as it was but for what must change (make lock UPGRADE=--upgrade: for all that is newer)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(BIN)/uv
	@$(COMPILE) $(UPGRADE) --group installer -o requirements-uv.txt
	@$(COMPILE) $(UPGRADE) --extra onnx pyproject.toml -o requirements.txt
	@cat requirements.txt requirements-dev.txt > $(VENV)/requirements-all.txt
	@$(COMPILE) $(UPGRADE) --extra onnx --group dev pyproject.toml -c requirements.txt -o $(VENV)/requirements-all.txt
	@awk 'FNR == NR { locked[$$0]; next } /^[^ ]/ { left_out = $$0 in locked } !left_out' requirements.txt $(VENV)/requirements-all.txt > requirements-dev.txt
	@$(COMPILE) $(UPGRADE) --group mlflow-server -c $(VENV)/requirements-all.txt -o requirements-mlflow.txt

# The digest of each image that Dockerfile and manifests name by a tag, from its registry
pin: setup
	@$(BIN)/python docker/image_digests.py

# What is installed, as CycloneDX JSON, validated against its schema
SBOM ?= dist/sbom.cdx.json
sbom: setup
	@mkdir -p $(dir $(SBOM))
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --validate --output-file $(SBOM) $(BIN)/python
	@echo "written: $(SBOM)"

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .ruff_cache
