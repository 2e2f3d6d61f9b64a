"""The launcher as a process, over real processes: what fails is named, what is left is ended, what is asked is passed on once."""
import json
import os
import signal
import socket
import subprocess

import pytest

from gluon_bof.__main__ import main
from gluon_bof.distributed.ports import Ports
from gluon_bof.distributed.roles import Host, place, read_hostfile, shared_out, this_machine, variables
from gluon_bof.distributed.words import resumable, resuming, runs_folder, traces
from gluon_bof.errors import EXIT_STATUS, TRY_AGAIN, UserError
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_config
from tests.command_lines import refused
from tests.distributed.jobs import PLAIN, QUICK, Job, parent, state


@pytest.fixture
def launch(tmp_path):
    """launch(*words) -> Job, each in a folder of its own."""
    jobs = []

    def start(*words):
        folder = tmp_path / str(len(jobs))
        folder.mkdir()
        jobs.append(Job(folder, *words))
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()


def one_failure(said):
    """The line that names a failure; there must be one."""
    lines = [line for line in said.splitlines() if line.startswith("launch: ") and " on localhost " in line]
    assert len(lines) == 1, said
    return lines[0]


def test_what_fails_first_is_named_and_all_are_ended(launch):
    what = {"kill": (137, "was killed by SIGKILL"), "stop": (1, "was stopped (state T) for 2 s"),
            "wedge": (1, "is behind and no worker has made a step for 2 s; it last wrote '1 3 train'"),
            "exit:2": (EXIT_STATUS, "ended with status 2")}  # which is a mistake, so that it is not started again
    jobs = {do: launch("-n", 2, *QUICK, "--max-restarts", int("exit" in do), "--", PLAIN, 99, 0.05, "--name", "x",
                       "--who", "worker-1", "--at", 3, "--do", do, "--child")
            for do in what}
    for do, job in jobs.items():
        status, outcome, said = job.wait()
        assert status == outcome["status"] == what[do][0], said
        line = one_failure(said)
        assert what[do][1] in line and (do == "wedge" or "worker 1 (rank 1, process " in line)
        assert outcome["failure"] in line and outcome["restarts"] == 0
        if do == "exit:2":
            assert f"the last lines of {job.log('worker-1.log')}:\n  | a last word" in said


@pytest.mark.slow  # a worker that dies is named above
def test_a_server_a_scheduler_and_a_keeper_that_stop_or_die_are_named(launch):
    words = ("-n", 1, *QUICK, "--", PLAIN, 999, 0.05)
    stopped, killed, kept = jobs = [launch(*words) for _ in range(3)]
    for job in jobs:
        job.until(lambda job=job: job.steps() > 1)
    os.kill(stopped.of_role("scheduler")[0], signal.SIGSTOP)
    os.kill(killed.of_role("server")[0], signal.SIGKILL)
    keepers = [process for process, environment in kept.processes().items() if "DMLC_ROLE" not in environment
               and process != kept.process.pid]
    worker = kept.of_role("worker")[0]
    os.kill(next(process for process in keepers if parent(worker) == process), signal.SIGKILL)
    for job, status, text in ((stopped, 1, "scheduler (process"), (killed, 137, "was killed by SIGKILL"),
                              (kept, 1, "its keeper was killed by SIGKILL")):
        found, _, said = job.wait()
        assert (found, text in one_failure(said)) == (status, True), said


def test_nothing_is_left_of_a_launcher_that_is_killed(launch):
    job = launch("-n", 2, *QUICK, "--", PLAIN, 9999, 0.05, "--deaf", "--child")
    job.until(lambda: min(job.steps(), job.steps("worker-1")) > 1)
    # the launcher; keeper and process of each role; the workers' children
    job.until(lambda: len(job.processes()) == 1 + 4 * 2 + 2)
    job.process.kill()
    job.process.wait()
    assert job.process.returncode == -signal.SIGKILL
    deadline = 200
    while job.processes() and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.05"], check=True)
    assert job.processes() == {}


def test_a_signal_is_passed_on_once_and_is_the_status(launch):
    jobs = {number: launch("-n", 2, "--", PLAIN, 9999, 0.3) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, job in jobs.items():
        job.until(lambda job=job: min(job.steps(), job.steps("worker-1")) > 1)
        os.kill(job.process.pid, number)
        os.kill(job.process.pid, number)  # a terminal's or timeout's echo
    for number, job in jobs.items():
        status, outcome, _ = job.wait(20)
        assert status == 128 + number and outcome["failure"] is None
        for name in ("worker-0.log", "worker-1.log"):
            assert "asked 1 times" in job.log(name).read_text()


@pytest.mark.slow  # each by itself is tested above
def test_two_jobs_at_once_and_a_restart_end_with_their_outcome(launch):
    restarted = launch("-n", 2, *QUICK, "--max-restarts", 1, "--", PLAIN, 6, 0.05, "--name", "x", "--who", "worker-0", "--at", 3,
                       "--do", f"exit:{TRY_AGAIN}")
    beside = launch("-n", 1, "--", PLAIN, 6, 0.05)
    status, outcome, said = restarted.wait()
    assert status == 0 and outcome["restarts"] == 1 and outcome["outcome"] == {"steps": 6, "resumed": "auto"}
    assert "worker 0 (rank 0" in one_failure(said) and restarted.log("worker-1.restart-1.log").exists()
    status, outcome, _ = beside.wait()
    assert status == 0 and outcome["restarts"] == 0 and outcome["outcome"] == {"steps": 6, "resumed": ""}


@pytest.mark.parametrize("words, problem", [
    (("-n", "0", "--", PLAIN), "-n 0 is below 1"),
    (("-n", "2", "--", "nowhere.py"), "nowhere.py: there is no such script"),
    (("-n", "2", "--", "python", PLAIN), "python stands before the script"),
    (("-n", "2"), "nothing to train"),
    (("-n", "2", "-s", "0", "--", PLAIN), "-s 0 is below 1"),
    (("-n", "2", "--max-restarts", "1", "--", PLAIN), "--max-restarts has to know which run goes on"),
    (("-H", "nowhere", "--", PLAIN), "nowhere: the hostfile cannot be read"),
    (("--port", "TAKEN", "--", PLAIN), "cannot be listened at"),
    (("--ssh", "'ssh", "--", PLAIN), "--ssh 'ssh is no command"),
    (("--stall-seconds", "nan", "--", PLAIN), "--stall-seconds nan must be above 0")])
def test_a_mistake_is_one_line_and_status_2(words, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [str(taken.getsockname()[1]) if word == "TAKEN" else word for word in words]
        assert problem in refused(main, capsys, "launch", *words)
    assert list(tmp_path.iterdir()) == []


def test_workers_share_the_gpus_that_the_launcher_was_given_and_no_others():
    here = place(2, None, this_machine(2))
    visible = {"CUDA_VISIBLE_DEVICES": "2,5,GPU-8a"}
    assert [shared_out(here, role, 1, visible)["CUDA_VISIBLE_DEVICES"] for role in here.workers] == ["2", "5"]
    assert [shared_out(here, role, 1, {})["CUDA_VISIBLE_DEVICES"] for role in here.workers] == ["0", "1"]
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES is 2,5,GPU-8a.*want 4 GPUs"):
        shared_out(here, here.workers[1], 2, visible)
    there = place(2, None, [Host("one", 2, "10.0.0.1")])  # whose GPUs the launcher's variable says nothing of
    assert shared_out(there, there.workers[1], 1, visible)["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_restart_begins_again_from_the_weights_that_no_run_has_yet_and_never_with_another_run(tmp_path):
    words = ["train_yolo3.py", "--resume=a.params", "--runs", str(tmp_path), "--name", "mine"]
    assert resuming(words) == words
    (tmp_path / "mine").mkdir()
    write_config(str(tmp_path / "mine"), Yolo3Options())
    assert resuming(words) == ["train_yolo3.py", "--runs", str(tmp_path), "--name", "mine", "--resume", "auto"]
    assert resumable(words) and not resumable(words[:2]) and resumable(["x.py", "--resume", "runs/x"])


@pytest.mark.parametrize("where", (("--save-dir", "{}/mine"), ("--runs", "{}", "--checkname=mine"),
                                   ("--save-dir={}/mine/", "--name", "mine")))
def test_a_run_of_segmentation_is_known_by_gluoncvs_names_of_its_place(where, tmp_path):
    """A restart refused the run that the first start had made."""
    named = ["train", "segmentation", *(word.format(tmp_path) for word in where)]
    words = [*named, "--resume", "a.params"]
    assert resumable(named) and runs_folder(named) == str(tmp_path) and traces(named) is None
    assert resuming(words) == words
    (tmp_path / "mine").mkdir()
    write_config(str(tmp_path / "mine"), SegmentationOptions())
    assert resuming(words) == [*named, "--resume", "auto"] and traces(named) == []
    assert not resumable(["train", "segmentation", "--checkname", "default"])


def test_a_restart_goes_on_from_the_newest_checkpoint_whatever_the_first_start_went_on_from():
    older = "/there/runs/x/checkpoints/iteration-000000024.ckpt"
    for given, wanted in (((), ("--resume", "auto")), (("--resume", "runs/x"), ("--resume", "runs/x")),
                          (("--resume", older, "-j", "2"), ("-j", "2", "--resume", "/there/runs/x"))):
        assert resuming(["train_yolo3.py", *given]) == ["train_yolo3.py", *wanted]


def test_a_restart_of_a_start_that_did_nothing_is_the_same_start(tmp_path):
    """It went on from the newest checkpoint where an older one was asked for, or took the place of an old run."""
    place = tmp_path / "mine" / "checkpoints"
    place.mkdir(parents=True)
    write_config(str(tmp_path / "mine"), Yolo3Options())
    older, newer = (place / f"iteration-0000000{number}.ckpt" for number in (12, 24))
    for path in (older, newer):
        path.write_bytes(b"")
    for words in (["x.py", "--resume", str(older)], ["x.py", "--runs", str(tmp_path), "--name", "mine"]):
        before = traces(words)
        assert resuming(words, before) == words
    newer.unlink()  # as the first start does before it trains
    words = ["x.py", "--resume", str(older)]
    assert resuming(words, before) == ["x.py", "--resume", str(tmp_path / "mine")]
    assert traces(["x.py", "--runs", str(tmp_path), "--name", "yours"]) is None


def test_two_jobs_cannot_have_the_same_number_of_a_socket():
    """The second would take the first one's socket of the file system from it, and its workers."""
    first = Ports("127.0.0.1", 1, only_numbers=True)
    with pytest.raises(UserError, match="cannot be listened at"):
        Ports("127.0.0.1", 1, first.numbers[0], only_numbers=True)
    first.release()
    Ports("127.0.0.1", 1, first.numbers[0], only_numbers=True).release()


def test_a_name_that_no_resolver_takes_is_refused_with_its_line(tmp_path):
    for name, said in (("two\0", "is no host's name"), ("a..b", "no address is known of a..b")):
        (tmp_path / "hosts").write_text(f"localhost\n{name} slots=2\n")
        with pytest.raises(UserError, match=f"line 2: .*{said}"):
            read_hostfile(str(tmp_path / "hosts"))


@pytest.mark.parametrize("slots", ("0", "00", "²", "two", "9" * 12, "9" * 20))
def test_slots_that_are_no_number_are_refused_with_their_line(slots, tmp_path):
    (tmp_path / "hosts").write_text(f"localhost\ntwo slots={slots}\n")
    with pytest.raises(UserError, match=f"line 2: slots={slots} is no number from 1 on"):
        read_hostfile(str(tmp_path / "hosts"))


def test_environments_are_printed_for_other_launchers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").write_text("one slots=2 address=10.0.0.1 # first\n\ntwo slots=2 address=10.0.0.2\n")
    with pytest.raises(SystemExit) as ended:
        main(["launch", "-n", "3", "-H", "hosts", "--port", "9091", "--address", "10.0.0.9", "--gpus-per-worker", "2",
              "--print-env", "--", "train", "yolo3", "--batch-size", "8"])
    said = capsys.readouterr()
    roles = json.loads(said.out.splitlines()[-1])
    assert ended.value.code == 0
    assert [(role["role"], role["number"], role["host"]) for role in roles] == [
        ("scheduler", 0, "localhost"), ("server", 0, "one"), ("server", 1, "two"),
        ("worker", 0, "one"), ("worker", 1, "one"), ("worker", 2, "two")]
    for role in roles:
        told = role["environment"]
        assert (told["DMLC_PS_ROOT_URI"], told["DMLC_PS_ROOT_PORT"]) == ("10.0.0.9", "9091")
        assert (told["DMLC_NUM_WORKER"], told["DMLC_NUM_SERVER"], told["DMLC_ROLE"]) == ("3", "2", role["role"])
        assert told["DMLC_NODE_HOST"] == {"localhost": "10.0.0.9", "one": "10.0.0.1", "two": "10.0.0.2"}[role["host"]]
    assert [role["environment"].get("CUDA_VISIBLE_DEVICES") for role in roles] == [None, None, None, "0,1", "2,3", "0,1"]
    assert roles[-1]["command"][1:] == ["-m", "gluon_bof", "train", "yolo3", "--batch-size", "8"]
    shell = [line for line in said.err.splitlines() if not line.startswith("#")]
    assert len(shell) == 6 and all(line.startswith("env DMLC_ROLE=") for line in shell)


def test_horovods_workers_are_told_their_place_on_their_host_and_over_the_hosts():
    cluster = place(5, None, [Host("one", 2, "10.0.0.1"), Host("two", 1, "10.0.0.2"), Host("three", 2, "10.0.0.3")], "horovod",
                    "10.0.0.9")
    told = [variables(cluster, worker, 9091) for worker in cluster.workers]
    for name, wanted in {"RANK": "01234", "SIZE": "55555", "LOCAL_RANK": "01001", "LOCAL_SIZE": "22122", "CROSS_RANK": "00121",
                         "CROSS_SIZE": "32332"}.items():
        assert "".join(one[f"HOROVOD_{name}"] for one in told) == wanted, name


def test_a_stopped_process_is_seen_as_one():
    process = subprocess.Popen(["sleep", "60"])
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    assert state(process.pid) == "T"
    process.kill()
    process.wait()
