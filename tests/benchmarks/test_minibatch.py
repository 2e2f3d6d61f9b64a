"""The benchmark of a probe runs and ends with its numbers."""
import json

from benchmarks import minibatch
from tests.cifar10_files import write_cifar10


def test_both_sides_run(capsys, tmp_path):
    write_cifar10(tmp_path, 4, 1)
    minibatch.main(["--network", "dpn-mini", "--cifar10", str(tmp_path), "--batch-size", "4", "--batches", "2", "--rounds", "1"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["time_ratio"] > 0 and set(answer["memory_in_parameters"]) == {"2", "4"}
