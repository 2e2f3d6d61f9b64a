"""Cost in inference: throughput, ratios and whether two graphs are one, against known seconds and known graphs."""
from types import SimpleNamespace

import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.paper import cost
from gluon_bof.paper.figures import throughput
from gluon_bof.paper.table_pages import cost_section


def test_throughput_is_images_over_seconds(monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def detect(images):
        clock[0] += 0.25 * len(images)

    detector = SimpleNamespace(detect=detect)
    assert cost.images_per_second(detector, [None] * 3, 2.0) == 4
    assert throughput.throughputs([(detector, [None] * 3)] * 2) == [4, 4]


def test_ratios_are_of_the_second_run_over_the_first_round_by_round(monkeypatch):
    def opened(first):
        """A detector whose throughput is known and rises from round to round."""
        return SimpleNamespace(detect=len, device="cpu", speeds=(first + number for number in range(cost.ROUNDS)))

    monkeypatch.setattr(cost, "_resolved", lambda job: SimpleNamespace(options=None, speed=job.speed))
    monkeypatch.setattr(cost, "validation_set", lambda options: SimpleNamespace(records=[]))
    monkeypatch.setattr(cost, "open_detector", lambda resolved: opened(resolved.speed))
    monkeypatch.setattr(cost, "images_per_second", lambda detector, images, seconds: next(detector.speeds))
    monkeypatch.setattr(cost, "exported_graph", lambda detector: [])
    jobs = [SimpleNamespace(row=SimpleNamespace(name=name), name=name, speed=speed) for name, speed in (("a", 10), ("b", 20))]
    kept = {}
    cost.compare_runs(*jobs, SimpleNamespace(read=lambda name: {"name": name}, write=kept.update))
    assert kept["name"] == "b" and kept["cost"]["images_per_second"] == [13, 23]
    assert kept["cost"]["ratios"] == pytest.approx([(20 + number) / (10 + number) for number in reversed(range(cost.ROUNDS))])


def test_the_page_tells_the_bundles_rounds_and_not_todays():
    ratios = [0.9, 1.0, 1.1]
    found = {"rows": ["a", "b"], "same_graph": True, "operators": [{}, {}], "images_per_second": [1.0, 1.0], "ratios": ratios,
             "device": "cpu(0)"}
    section = cost_section([SimpleNamespace(name="b", seed=0)], SimpleNamespace(read=lambda name: {"cost": found}))
    assert len(ratios) != cost.ROUNDS and "in turn, 3 rounds:" in section


def test_graphs_that_differ_in_an_attribute_alone_are_not_the_same():
    graphs = []
    for stride in (1, 1, 2):
        network = gluon.nn.Conv2D(2, 3, strides=stride, in_channels=3)
        network.initialize()
        network.hybridize()
        network(mx.nd.zeros((1, 3, 9, 9)))
        graphs.append(cost.exported_graph(SimpleNamespace(graph=network)))
    assert graphs[0] == graphs[1] != graphs[2]
