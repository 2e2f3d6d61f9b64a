"""Install this project with its pinned requirements into the Python that runs this file; .venv is meant.

NVIDIA's driver decides which MXNet: with it the build for GPUs and CUDA 11's libraries, without it the one for CPUs."""
import ctypes
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build_for_this_machine():
    """The extra of pyproject.toml that brings the fitting MXNet: "gpu" or "cpu"."""
    try:
        ctypes.CDLL("libcuda.so.1")
        return "gpu"
    except OSError:
        return "cpu"


def main():
    """Install, then see that OpenCV starts. Raises SystemExit with one line where something fails."""
    build = build_for_this_machine()
    print(f"installing into {sys.prefix} (Python {sys.version.split()[0]}, MXNet for the {build.upper()}); "
          "this takes a minute or two, once", file=sys.stderr)
    pip = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                          "--editable", f".[{build},dev]"], cwd=str(ROOT))
    if pip.returncode:
        raise SystemExit("error: pip could not install the requirements, see above; the next make tries again")
    opencv = subprocess.run([sys.executable, "-c", "import cv2"], stderr=subprocess.PIPE, text=True)
    if opencv.returncode:
        raise SystemExit(f"error: OpenCV does not start ({opencv.stderr.strip().splitlines()[-1]}); "
                         "on Debian or Ubuntu: apt install libgl1 libglib2.0-0")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("error: interrupted; the next make starts the installation again") from None
