"""Runs without their pages of images, for tests that look at something else."""
from gluon_bof.training import pipeline


def without_pages(monkeypatch):
    """Let the scripts draw no pages of their runs, which take as long as all the rest."""
    def fit(engine, *_):
        return dict(engine.run_epochs(), iterations=engine.iteration)

    monkeypatch.setattr(pipeline, "fit", fit)
