"""gluon-bof: every command is found, helps, and its status is the program's."""
import sys

import pytest

from gluon_bof import __main__, commands
from tests.command_lines import refused


def ended(words):
    """Status with which the program ends."""
    with pytest.raises(SystemExit) as end:
        __main__.main(words)
    return end.value.code


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_every_command_helps(command, capsys):
    assert not ended([command, "--help"])
    said = capsys.readouterr()
    assert f"gluon-bof {command}" in said.out and len(said.out) > 100 and not said.err


@pytest.mark.parametrize("words", ([], ["--help"], ["-h"]), ids=lambda words: " ".join(words) or "nothing")
def test_without_a_command_all_are_listed_in_their_order(words, capsys):
    __main__.main(words)
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(commands.COMMANDS)


def test_an_unknown_command_is_one_line_that_names_the_known(capsys):
    line = refused(__main__.main, capsys, "trian")
    assert line.startswith("error: unknown command 'trian'; choose one of ")
    assert all(command in line for command in commands.COMMANDS)


def test_words_after_the_command_are_the_commands_and_its_status_the_programs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ended(["train", "yolo3", "--dataset", "voc", "--epochs", "3", "--dry-run"]) == 0
    assert '"epochs": 3' in capsys.readouterr().out
    assert "nowhere" in refused(__main__.main, capsys, "check", tmp_path / "nowhere")


def test_the_programs_own_words_are_taken_where_none_are_given(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gluon-bof", "trian"])
    assert ended(None) == 2
    assert "trian" in capsys.readouterr().err


@pytest.mark.parametrize("family", ("ssd7", "classifier"))
def test_train_knows_only_detectors(family, capsys):
    line = refused(__main__.main, capsys, "train", family)
    assert line.startswith(f"error: unknown family '{family}'; choose one of yolo3, faster_rcnn")
