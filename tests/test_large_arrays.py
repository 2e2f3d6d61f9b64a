"""That memory of large arrays goes back to the system, and the rest does not, asked of the C library itself."""
import subprocess
import sys

import pytest

# mallinfo's fourth number counts the blocks that are the system's own, its last is the heap's free end; a block that is freed
# lets glibc keep such sizes to itself
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
libc.malloc(16 << 20)
print(getattr(about(), "3") - before)
for block in [libc.malloc(1 << 20) for _ in range(32)]:
    libc.free(block)
print(getattr(about(), "9") >> 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's way")
def test_large_arrays_are_the_systems_own_blocks_once_it_is_asked_for_and_small_ones_stay():
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True)
    own, kept = map(int, said.stdout.split())
    assert own == 1 and kept >= 31
