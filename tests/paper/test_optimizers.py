"""Our trainings' optimizers against the lecture's update rules; surfaces, the head on features, how rates are chosen."""
import csv
import os

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from gluon_bof.backend import mx
from gluon_bof.commands import figure as figures
from gluon_bof.commands import table
from gluon_bof.data import shapes
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import build_schedule
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import frozen_head, optimizers
from gluon_bof.paper import surfaces as hard
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.figures import page
from gluon_bof.paper.optimizer_pages import optimizers_summary
from gluon_bof.training.optimizer import build_optimizer
from tests.command_lines import refused
from tests.paper.drawn_figures import called, texts_on_each_other
from tests.paper.made_up import bundle_for
from tests.tiny_sets import draw_few_shapes

RATE, STEPS, RHO, DECAY, BETA1, BETA2 = 0.05, 60, 0.9, 0.9, 0.9, 0.999
FLOAT32 = dict(rtol=2e-5, atol=2e-5)


# the lecture's rules, in numpy's float64, as its slides have them; gradient(x) -> dx

def lectures_sgd(gradient, x):
    while True:
        x = x - RATE * gradient(x)
        yield x


def lectures_momentum(gradient, x):
    velocity = 0
    while True:
        velocity = RHO * velocity + gradient(x)
        x = x - RATE * velocity
        yield x


def lectures_nesterov(gradient, x):
    """The gradient is taken where the velocity alone would lead; that point is what MXNet calls the weights."""
    velocity = 0
    while True:
        velocity = RHO * velocity - RATE * gradient(x + RHO * velocity)
        x = x + velocity
        yield x + RHO * velocity


def lectures_adagrad(gradient, x, epsilon=1e-7, within=0.0):
    squared = 0
    while True:
        dx = gradient(x)
        squared = squared + dx * dx
        x = x - RATE * dx / (np.sqrt(squared + within) + epsilon)
        yield x


def lectures_rmsprop(gradient, x, epsilon=1e-7, within=0.0):
    squared = 0
    while True:
        dx = gradient(x)
        squared = DECAY * squared + (1 - DECAY) * dx * dx
        x = x - RATE * dx / (np.sqrt(squared + within) + epsilon)
        yield x


def lectures_adam(gradient, x, epsilon=lambda step: 1e-7):
    first = second = step = 0
    while True:
        step += 1
        dx = gradient(x)
        first = BETA1 * first + (1 - BETA1) * dx
        second = BETA2 * second + (1 - BETA2) * dx * dx
        x = x - RATE * (first / (1 - BETA1 ** step)) / (np.sqrt(second / (1 - BETA2 ** step)) + epsilon(step))
        yield x


LECTURES = {"SGD": lectures_sgd, "momentum": lectures_momentum, "Nesterov": lectures_nesterov, "AdaGrad": lectures_adagrad,
            "RMSProp": lectures_rmsprop, "Adam": lectures_adam}


def told(gradients):
    """A gradient that does not depend on the place: each of these in turn."""
    turn = iter(gradients)
    return lambda x: next(turn)


def path_of(options, gradients, schedule=None):
    """What MXNet's optimizer of these options makes of a point by these gradients."""
    update = mx.optimizer.get_updater(build_optimizer(options, schedule or build_schedule("step", options.lr, len(gradients))))
    weights, points = mx.nd.array([1.0, -2.0]), []
    for gradient in gradients:
        update(0, mx.nd.array(gradient), weights)
        points.append(weights.asnumpy())
    return np.array(points)


def gradients(steps=STEPS):
    rng = np.random.default_rng(1)
    return rng.normal(0, (0.2, 3.0), (steps, 2)).astype(np.float32).astype(np.float64)


def expected(rule, given, **how):
    return np.array([x for _, x in zip(given, rule(told(given), np.array([1.0, -2.0]), **how))])


@pytest.mark.parametrize("name", optimizers.KINDS)
def test_our_optimizers_are_the_lectures_rules_number_for_number(name):
    given = gradients()
    options = Yolo3Options(lr=RATE, wd=0.0, **optimizers.KINDS[name])
    np.testing.assert_allclose(path_of(options, given), expected(LECTURES[name], given), **FLOAT32)


@pytest.mark.parametrize("name", optimizers.KINDS)
@pytest.mark.parametrize("surface", hard.SURFACES)
def test_paths_on_surfaces_are_the_lectures(name, surface, monkeypatch):
    monkeypatch.setattr(f"{__name__}.RATE", 0.01)
    found = hard.walk(name, 0.01, hard.SURFACES[surface]._replace(noise=0.0), 40)
    steps = LECTURES[name](hard.SURFACES[surface].gradient, np.array(hard.SURFACES[surface].start))
    np.testing.assert_allclose(found[1:], [next(steps) for _ in range(40)], rtol=1e-4, atol=1e-4)


def test_mxnets_epsilon_stands_within_the_root_of_adagrad_and_rmsprop_and_before_adams_correction():
    given, large = gradients(), 0.5
    for name, rule in (("adagrad", lectures_adagrad), ("rmsprop", lectures_rmsprop)):
        found = path_of(Yolo3Options(optimizer=name, lr=RATE, wd=0.0, rho=DECAY, epsilon=large), given)
        np.testing.assert_allclose(found, expected(rule, given, epsilon=0.0, within=large), **FLOAT32)
        assert np.abs(found - expected(rule, given, epsilon=large)).max() > 100 * FLOAT32["atol"]
    found = path_of(Yolo3Options(optimizer="adam", lr=RATE, wd=0.0, epsilon=large), given)
    corrected = expected(lectures_adam, given, epsilon=lambda step: large / np.sqrt(1 - BETA2 ** step))
    np.testing.assert_allclose(found, corrected, **FLOAT32)
    assert np.abs(found - expected(lectures_adam, given, epsilon=lambda step: large)).max() > 100 * FLOAT32["atol"]


def test_a_rate_that_changes_is_kept_in_mxnets_velocity_and_not_in_the_lectures():
    given = gradients(12)
    schedule = build_schedule("step", RATE, 12, steps=[4], factor=0.1)
    found = path_of(Yolo3Options(lr=RATE, wd=0.0, momentum=RHO), given, schedule)
    rates = [RATE] * 4 + [RATE / 10] * 8
    x, kept, of_lecture, velocity, bare = np.array([1.0, -2.0]), [], [], 0, 0
    y = x
    for rate, dx in zip(rates, given):
        velocity, bare = RHO * velocity - rate * dx, RHO * bare + dx
        x, y = x + velocity, y - rate * bare
        kept.append(x)
        of_lecture.append(y)
    np.testing.assert_allclose(found, kept, **FLOAT32)
    np.testing.assert_allclose(found[:4], of_lecture[:4], **FLOAT32)
    assert np.abs(found[4:] - of_lecture[4:]).max() > 0.05


@pytest.mark.parametrize("surface", hard.SURFACES.values(), ids=hard.SURFACES)
def test_surfaces_have_the_gradient_and_the_lowest_point_that_scipy_finds(surface):
    for point in np.random.default_rng(2).uniform(-2, 2, (20, 2)):
        assert scipy.optimize.check_grad(surface.value, surface.gradient, point) < 1e-4
    lowest = min(scipy.optimize.minimize(surface.value, start).fun for start in ((-1, 0.5), (1, 0.5), (1, -0.5)))
    assert surface.lowest == pytest.approx(lowest, abs=1e-8)


def test_noise_is_the_same_for_all_and_a_path_that_overflows_is_never_the_best():
    noisy = hard.SURFACES["noise"]
    plain = noisy._replace(gradient=np.zeros_like)
    steps = np.diff(hard.walk("SGD", 1.0, plain, 30), axis=0), np.diff(hard.walk("SGD", 0.5, plain, 30), axis=0)
    np.testing.assert_allclose(steps[0], 2 * steps[1], rtol=1e-3, atol=1e-5)
    assert np.std(steps[0]) == pytest.approx(noisy.noise, rel=0.3)
    assert hard.score(hard.walk("SGD", 1.0, hard.SURFACES["saddle"]._replace(start=(9.0, 9.0)), 30),
                      hard.SURFACES["saddle"]) == np.inf
    rate, points = hard.best_walk("SGD", hard.SURFACES["conditioning"], 40)
    assert rate == 0.03 and np.isfinite(points).all()  # 2 / STEEP is where it begins to diverge


def test_what_the_lecture_says_of_a_local_minimum_holds_here():
    left = {name: hard.best_walk(name, hard.SURFACES["local minimum"], 60, (0.01, 0.03, 0.1, 0.3))[1][-1, 0] < 0
            for name in ("SGD", "momentum", "Nesterov")}
    assert left == {"SGD": False, "momentum": True, "Nesterov": True}


# the head

@pytest.fixture(name="objects", scope="module")
def made_up_objects():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 256)
    return frozen_head.Objects(rng.normal(0, 1, (256, 5)) + 0.7 * np.eye(4, 5)[labels], labels)


def test_the_heads_objective_is_scipys_and_its_gradient_too(objects):
    head = np.random.default_rng(4).normal(0, 1, (6, 4))
    logits = objects.features @ head[:-1] + head[-1]
    wanted = -scipy.special.log_softmax(logits, axis=1)[np.arange(256), objects.labels].mean()
    assert frozen_head.objective(head, objects)[0] == pytest.approx(wanted + frozen_head.DECAY / 2 * (head[:-1] ** 2).sum())
    numeric = scipy.optimize.approx_fprime(head.ravel(), lambda flat: frozen_head.objective(flat.reshape(6, 4), objects)[0])
    np.testing.assert_allclose(frozen_head.objective(head, objects)[1].ravel(), numeric, atol=1e-6)


def test_lbfgs_ends_where_the_gradient_is_nothing_and_updates_do_not_get_below(objects):
    seen, head = frozen_head.by_lbfgs(objects, 300)
    assert np.abs(frozen_head.objective(head, objects)[1]).max() < 1e-5 and seen == sorted(seen, reverse=True)
    for name in frozen_head.RATES:
        rate, values, found = frozen_head.best_updates(objects, name, 8)
        assert rate in frozen_head.RATES[name] and len(values) == 9 and seen[-1] < values[-1] < values[0]
        assert frozen_head.accuracy(found, objects) > 0.4  # 0.25 is chance


# which rates are chosen

def searched(store, best, left_out=()):
    """Bundles of the search in which `best`, {optimizer: rate}, did best on the held-out images."""
    for job in optimizers.plan({}, optimizers.SEEDS[:1]):
        if job.row not in left_out:
            bundle = bundle_for(job)
            bundle["training"]["map"] = 0.6 if best[job.row.optimizer] == job.row.rate else 0.5
            store.write(bundle)


BEST = {name: rates[1] for name, rates in optimizers.RATES.items()}


def test_rates_are_chosen_on_the_held_out_images_and_only_when_all_were_tried(tmp_path):
    store = Store(str(tmp_path))
    searched(store, BEST, left_out=optimizers.TRIALS[-1:])
    assert optimizers.choose(optimizers.searched(store)) == {}
    searched(store, BEST)
    assert optimizers.choose(optimizers.searched(store)) == BEST
    planned = optimizers.plan(BEST)
    assert len(planned) == 18 + 2 * 6 == len({job.name for job in planned})
    assert {job.row.optimizer: job.row.rate for job in planned if job.evaluations} == BEST
    assert {len(rates) for rates in optimizers.RATES.values()} == {3} and optimizers.RATES.keys() == optimizers.KINDS.keys()
    assert all(job.training.options.mixup == "beta" and job.training.options.no_mixup_epochs == job.training.options.epochs
               for job in planned)


@pytest.fixture(name="few_images")
def few_drawn_images(tmp_path, monkeypatch):
    """The embedded set with a 25th of its images to train on, in parts of the same shares."""
    draw_few_shapes(monkeypatch, tmp_path / "cache", 40, 30)
    for name in ("fit", "held-out"):
        role, places = shapes.PARTS[name]
        monkeypatch.setitem(shapes.PARTS, name, (role, slice(*(place and place // 25 for place in (places.start, places.stop)))))


def test_the_page_says_every_rate_and_tests_the_chosen_alone(tmp_path):
    store = Store(str(tmp_path))
    assert optimizers_summary(store) == "No run has a bundle yet."
    searched(store, BEST)
    job = next(job for job in optimizers.plan(BEST) if job.row.optimizer == "Adam" and job.evaluations)
    bundle = bundle_for(job, 0.7)
    bundle.update(losses=[[200, 31.5]], training={"map": 0.6})
    store.write(bundle)
    row = next(line for line in optimizers_summary(store).splitlines() if line.startswith("| Adam"))
    assert row == "| Adam | 0.001: 50.0, **0.003: 60.0**, 0.01: 50.0 | inside | 70.0 | 70.0 | 31.5 |"


def test_the_images_that_choose_are_neither_trained_on_nor_tested(few_images):
    parts = [{record.image_id for record in open_set("shapes", None, "train", split=split).records}
             for split in ("fit", "held-out", "test")]
    assert [len(part) for part in parts] == [32, 8, 30] and len(set.union(*parts)) == 70
    assert len(open_set("shapes", None, "val", split="trainval")) == len(open_set("shapes", None, "train")) == 40
    with pytest.raises(UserError, match="no split 'tune'"):
        open_set("shapes", None, "val", split="tune")


@pytest.mark.parametrize("words", (["--rows", "1"], ["--seeds", "1"], ["--dataset", "set"], ["--", "--lr", "1"]))
def test_the_protocol_takes_no_flags(words, capsys):
    assert "the protocol of optimizers is fixed" in refused(table.main, capsys, "optimizers", "--dry-run", *words)


# the figure

@pytest.mark.slow
def test_the_figure_draws_what_there_is_and_its_table_has_it_all(few_images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hard, "RATES", (0.01,))
    small = ["optimizers", "--objects", "64", "--passes", "2", "--steps", "4", "--out", str(tmp_path)]
    answer, rows = called(capsys, *small, "--results", str(tmp_path / "none"))
    assert set(answer) >= {"surfaces", "head"} and "trainings" not in answer
    assert len([row for row in rows if row["part"] == "surface"]) == 4 * 6 * 5
    store = Store(str(tmp_path))
    searched(store, BEST)
    for job in optimizers.plan(BEST):
        if job.evaluations:
            bundle = bundle_for(job, 0.7)
            bundle.update(losses=[[20, 45.0], [40, 30.0 + job.seed]], training={"map": 0.6})
            store.write(bundle)
    given, module = figures.read_request([*small, "--results", str(tmp_path)])
    with page.look():
        drawn = module.draw(given)
        assert texts_on_each_other(drawn.figure) == []
    assert drawn.numbers["trainings"]["Adam"] == {"rate": 0.003, "map": [0.7, 0.7, 0.7]}
    losses = [row[-1] for row in drawn.rows if row[:3] == ("training", "embedded YOLOv3", "SGD") and row[4] == "loss"]
    assert losses == [45.0, 31.0]


@pytest.mark.parametrize("words, message", (
    (["--steps", "3"], "--steps 3 is below 4"), (["--passes", "1"], "below 2"), (["--objects", "63"], "less than one batch"),
    (["--objects", "-1"], "below 0"), (["--runs", "x"], "unrecognized")))
def test_the_figure_refuses_what_it_cannot_draw(words, message, capsys, tmp_path):
    assert message in refused(figures.main, capsys, "optimizers", "--out", tmp_path, *words)


def test_the_committed_figures_numbers_are_those_of_the_committed_bundles():
    results = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "results")
    store = Store(results)
    finals = optimizers.finals_of(store, optimizers.choose(optimizers.searched(store)))
    wanted = {(name, f"mAP@0.5, seed {bundle['seed']}"): optimizers.tested(bundle)
              for name, bundles in finals.items() for bundle in bundles}
    with open(os.path.join(results, "optimizers.csv"), encoding="utf-8", newline="") as file:
        drawn = {(row["optimizer"], row["quantity"]): float(row["value"]) for row in csv.DictReader(file)
                 if row["part"] == "training" and row["quantity"] != "loss"}
    assert wanted and drawn == pytest.approx(wanted)
