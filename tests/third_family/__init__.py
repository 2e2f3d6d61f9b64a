"""A detector that is as small as a family can be: what whoever adds a family owes, and all of it.

    options.py   its flags, one dataclass
    model.py     its network, how it sees, loses and is exported; in the package a folder under models/
    train.py     its script, the pipeline
    FAMILY       its row, in the package one of options/families.py

tests/test_third_family.py lets it pass the contracts of tests/contracts.py, which every family has to keep."""
from gluon_bof.options.families import Family
from tests.third_family.options import CellOptions

FAMILY = Family("cells", "Cells", CellOptions, "tests.third_family.model", "tests.third_family.train")
