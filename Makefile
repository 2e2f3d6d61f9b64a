# make train [GPUS=0,1] [SEED=0] [ARGS="--epochs 3"]   train YOLOv3 on the embedded set, every freebie on
# make test [ARGS="tests/data"]                        run the tests
# make lint                                            hold the code against ruff's rules
# All first make .venv and install into it, once; PYTHON=python3.10 names the Python to make it with.

# The stamp is written last, so an interrupted installation leaves none. It carries the name of the Python that was asked
# for: another PYTHON makes .venv anew, and no PYTHON takes what is there.
ifdef PYTHON
STAMP := .venv/installed-by-$(subst /,-,$(PYTHON))
else
STAMP := $(or $(firstword $(wildcard .venv/installed-by-*)),.venv/installed-by-default)
endif

.PHONY: train test lint install
train: $(STAMP)
	.venv/bin/python train_yolo3.py $(if $(GPUS),--gpus $(GPUS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Bytecode is kept even where the user's variable forbids it: pytest's rewritten tests and the package are else compiled anew in
# each of the processes, hundreds of them.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(STAMP)
	.venv/bin/ruff check .

install: $(STAMP)

$(STAMP): pyproject.toml tools/find_python.sh tools/install.py
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv --clear .venv \
		&& .venv/bin/python tools/install.py && touch $@
