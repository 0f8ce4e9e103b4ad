# Everything a developer or a CI run calls. `make install` needs Python 3.11+ and pip, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export ORT_DISABLE_TELEMETRY := 1

.PHONY: install demo test check format soak infra arm64 bench bench-full proto lock clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[edge,cloud,train,simulator,dev]"
	touch $@

demo: install
	$(BIN)/tidegate demo

# most tests wait for processes and brokers, so more of them than cores run side by side; a file stays together
test: install
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[scale]"
	$(BIN)/python -m pytest -m soak --override-ini timeout=3600

# the template of what AWS needs, and what `cdk deploy` builds from it (docs/aws.md); Node comes from PyPI
infra: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[infra]"
	$(BIN)/tidegate infra synth --out out/infra $(INFRA)
	$(BIN)/cfn-lint --ignore-checks W3005 -- out/infra/*.template.json

# needs mmdebstrap, and a way to Debian's packages and to PyPI; tests of `make soak` that need this root skip without it
arm64: install
	$(BIN)/python -m simulator.arm64_root .arm64
	$(BIN)/python -m pytest -m arm64

bench: install
	$(BIN)/python -m benchmarks

bench-full: install
	$(BIN)/python -m benchmarks --full

proto: install
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. models/tidegate.proto

lock: install
	( echo "# The versions that the tests ran with. \`make lock\` writes this file."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' ) > constraints.txt
	$(BIN)/python -m greengrass.runtime.lock

clean:
	rm -rf $(VENV) out runs dist
