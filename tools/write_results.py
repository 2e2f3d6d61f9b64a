"""Write every measured number and picture of README.md and results/ from the bundles in results/runs.

    python tools/write_results.py"""
import os
import sys

from gluon_bof.errors import user_facing
from gluon_bof.paper.pages import pages_in, write_pages

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@user_facing
def main():
    """Print what changed."""
    results = os.path.join(ROOT, "results")
    for path in write_pages([os.path.join(ROOT, "README.md"), *pages_in(results)], results):
        print(os.path.relpath(path, ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
