"""That memory of large arrays goes back to the system, asked of the C library itself."""
import subprocess
import sys

import pytest

# mallinfo's fourth number counts the blocks that are the system's own; a block that is freed lets glibc keep such sizes to itself
PROGRAM = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
about = libc.mallinfo
about.restype = type("Numbers", (ctypes.Structure,), {"_fields_": [(str(number), ctypes.c_int) for number in range(10)]})
from gluon_bof.devices import return_large_arrays
return_large_arrays()
libc.free(libc.malloc(20 << 20))
before = getattr(about(), "3")
libc.malloc(4 << 20)
print(getattr(about(), "3") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's way")
def test_large_arrays_are_the_systems_own_blocks_once_it_is_asked_for():
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1"
