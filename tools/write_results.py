"""Write what stands between the marks of README.md, docs/ and results/, and the pictures there, from the bundles in results/runs.

    python tools/write_results.py"""
import os
import sys

from gluon_bof.errors import user_facing
from gluon_bof.paper.pages import published, write_pages

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@user_facing
def main():
    """Print what changed."""
    results = os.path.join(ROOT, "results")
    for path in write_pages(published(ROOT), results):
        print(os.path.relpath(path, ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
