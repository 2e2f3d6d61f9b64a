"""Processes that work for this one: how they begin, are given work, are watched, and end. No MXNet in here.

A pool of the standard library lets its workers share one queue and one lock: a worker that is killed takes the lock along, and
then nothing comes any more and the pool's end hangs. Here each has a pipe of its own."""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from multiprocessing import connection, util
from multiprocessing.pool import ExceptionWithTraceback
from multiprocessing.reduction import ForkingPickler
from typing import Any, Callable, Iterable, Iterator, NamedTuple, NoReturn

import cv2

from gluon_bof.errors import Gathered, UserError, is_out_of_memory, warn_once
from gluon_bof.locks import fork_safe_lock
from gluon_bof.terminal import end_with_parent

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FATAL = (signal.SIGBUS, signal.SIGSEGV, signal.SIGFPE)
AHEAD = 2  # tasks that a worker has at most, the one that it computes among them
PATIENCE = 120  # seconds that a result may take
TO_END = 5  # seconds that a process may take to be gone
SHARED_MEMORY = "/dev/shm"
FULL = f"make it larger (docker run --shm-size 2g, or mount -o remount,size=2g {SHARED_MEMORY}), or give a smaller -j or " \
       "--batch-size; -j 0 needs none of it"
FEWER = "give a smaller -j or --batch-size; a training has saved what it had, for --resume"

_initialised_process = None
_opencv = fork_safe_lock()  # of who has OpenCV on one thread, and of the threads that it had
_on_one_thread = set()
_opencvs_threads = None
FORK = multiprocessing.get_context("fork")  # whatever way to start processes a program has chosen for its own


def init_worker() -> None:
    """Once in a process that another one began, as Gluon's loader does: one thread for OpenCV; its own do not survive a fork."""
    global _initialised_process
    if _initialised_process == os.getpid():
        return
    _initialised_process = os.getpid()
    if multiprocessing.parent_process():
        cv2.setNumThreads(0)


@contextlib.contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """OpenCV has no threads of its own in here, and what is forked in here never has. Several threads may be in here: who leaves
    last gives OpenCV its own back."""
    global _opencvs_threads
    init_worker()
    this = object()
    try:  # around both, for Ctrl-C
        with _opencv:
            if not _on_one_thread:
                _opencvs_threads = cv2.getNumThreads()
                cv2.setNumThreads(0)
            _on_one_thread.add(this)
        yield
    finally:
        with _opencv:
            _on_one_thread.discard(this)
            if not _on_one_thread and _opencvs_threads is not None:
                # where it had 1 or 0, which it does not tell apart: 1 waits for its threads, of which a fork's child has none
                cv2.setNumThreads(_opencvs_threads if _opencvs_threads > 1 else 0)


class _OfThread(threading.local):
    def __init__(self):
        self.workers = weakref.WeakSet()  # every Workers that the thread has made


_of_thread = _OfThread()


class WorkerLost(UserError):
    """A data worker died, is stuck, or cannot go on: no fault of the data's."""


class _Worker(NamedTuple):
    process: Any
    pipe: Any
    tickets: list  # of the tasks that it has and has not answered
    returned: list  # what it lent and may have back, to be told with its next task


class Workers:
    """`count` processes that compute(task) side by side.

    They ignore what asks their parent to stop, and end with it, whatever ends it. A worker that dies is told as soon as any of
    this thread's Workers waits for a result: a training should not find out at its next validation. (Workers end with the thread
    that made them, and that of another training is none of this one's.)

    lending: the shared memory that answers lie in, see shared_memory.Lending; None: they go through the pipe.
    Raises UserError in a process that may start no other."""

    def __init__(self, count: int, compute: Callable[[Any], Any], lending: Any = None):
        if multiprocessing.current_process().daemon:
            raise UserError("a daemonic process, such as a Pool's, may start no data workers", remedy="give --num-workers 0")
        util.get_temp_dir()  # the workers' sockets go there too, and this process removes it
        with _held_back(STOPPING), opencv_on_one_thread():
            self._crew = [_start(compute, lending) for _ in range(count)]
        self._ticket = self._first = 0
        self._done = {}
        self._lending = lending
        self._loss = None  # what ended them early
        self._is_whole = True  # whether this side's books are those of the workers'
        # before multiprocessing asks, by a signal that they ignore, whoever is left at exit
        self._end = util.Finalize(self, _kill, ([worker.process for worker in self._crew],), exitpriority=20)
        self._of_thread = _of_thread.workers
        self._of_thread.add(self)

    def results(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """compute(task) of each, in their order, a few computed ahead. What a pass that was left early had asked for is
        forgotten when the next begins. Raises what compute raises, and WorkerLost, also where an earlier pass was interrupted (by
        Ctrl-C) while it exchanged a message: whose answer is whose would not be known."""
        tasks = iter(tasks)
        mine = self._first = wanted = self._ticket
        self._done = {}
        while True:
            if self._loss:
                raise self._loss
            if not self._is_whole:
                self._give_up(WorkerLost("the exchange with the data workers was interrupted", None, "begin anew"))
            if self._first != mine:
                raise RuntimeError("another pass over these workers has begun")
            self._receive(0)
            self._hand_out(tasks, wanted)
            if wanted == self._ticket:
                return
            while wanted not in self._done:
                self._receive(PATIENCE)
            fine, result = self._done.pop(wanted)
            wanted += 1
            if not fine:
                raise result
            yield result

    def close(self) -> None:
        """End the processes, and give back what they lent."""
        self._close(RuntimeError("these workers were ended"))
        self._crew, self._lending = [], None

    def _hand_out(self, tasks, wanted):
        """Give tasks to those who have least to do."""
        while self._ticket - wanted < AHEAD * len(self._crew):
            try:
                task = next(tasks)
            except StopIteration:
                return
            worker = min(self._crew, key=lambda one: len(one.tickets))
            message = ForkingPickler.dumps((self._ticket, task, worker.returned))
            self._is_whole = False
            try:
                worker.pipe.send_bytes(message)
            except OSError as error:
                self._lost(self, worker, error)
            worker.returned.clear()
            worker.tickets.append(self._ticket)
            self._ticket += 1
            self._is_whole = True

    def _receive(self, seconds):
        """Take what has come, and wait so long for the first of it."""
        by_pipe = {worker.pipe: worker for worker in self._crew}
        by_sentinel = {worker.process.sentinel: (workers, worker) for workers in self._of_thread for worker in workers._crew}
        ready = _first_of([*by_pipe, *by_sentinel], seconds)
        if seconds and not ready:
            self._give_up(WorkerLost(f"no data came for {seconds} s: a data worker is stuck", None,
                                     f"look for a disk or network that does not answer; {FEWER}"))
        for one in ready:
            if one in by_sentinel:
                self._lost(*by_sentinel[one])
        self._is_whole, told = False, []
        for one in ready:
            worker = by_pipe[one]
            try:
                ticket, fine, result, warnings = one.recv()  # arrays are taken over here, from a worker that must be alive
            except (EOFError, OSError) as error:
                self._lost(self, worker, error)
            worker.tickets.remove(ticket)
            told += warnings
            if self._lending and fine:  # also of what nobody waits for any more
                result, returned = self._lending.take(worker.process.pid, result)
                worker.returned.extend(returned)
            if ticket >= self._first:
                self._done[ticket] = fine, result
        self._is_whole = True
        for message in told:  # several workers may have seen one thing
            warn_once(message)

    def _lost(self, owner, worker, error=None) -> NoReturn:
        worker.process.join(TO_END)
        if worker.process.exitcode is None and error:
            raise error  # the worker lives: what failed is this process's
        loss = _loss(worker.process.exitcode or 0)
        if owner is not self:
            owner._close(loss)
        self._give_up(loss)

    def _give_up(self, loss) -> NoReturn:
        self._close(loss)
        raise loss from None

    def _close(self, loss):
        self._loss = loss
        self._of_thread.discard(self)
        self._end()


@contextlib.contextmanager
def ending_workers() -> Iterator[None]:
    """Workers that this thread begins in here end with it, also where something keeps them, such as an error's frames."""
    before = weakref.WeakSet(_of_thread.workers)
    try:
        yield
    finally:
        for workers in _of_thread.workers - before:
            workers.close()


def _first_of(awaited, seconds):
    """What is ready after so many seconds at most, of which one at most counts that this process stood still (Ctrl-Z)."""
    for _ in range(max(1, seconds)):
        ready = connection.wait(awaited, min(1, seconds))
        if ready:
            break
    return ready


def _start(compute, lending):
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_work, args=(compute, theirs, lending), daemon=True)
    process.start()
    theirs.close()  # so that its end shows here
    return _Worker(process, ours, [], [])


def _work(compute, pipe, lending):
    """A worker's life."""
    for asked in STOPPING:  # the whole process group hears them; a worker's parent saves first, and then ends it
        signal.signal(asked, signal.SIG_IGN)
    for fatal in FATAL:  # MXNet's handlers print pages and hide by what the process ended
        signal.signal(fatal, signal.SIG_DFL)
    end_with_parent(signal.SIGKILL)  # also where that is killed
    if os.getppid() != multiprocessing.parent_process().pid:  # it ended before this one could ask to be told
        return
    warnings = Gathered()
    warnings.begin()
    if lending:
        lending.begin()
    while True:
        try:
            ticket, *asked = pipe.recv()
        except EOFError:
            return
        fine, result = _answer(compute, lending, *asked)
        told = warnings.take()
        try:
            pipe.send((ticket, fine, result, told))
        except BrokenPipeError:
            return
        except Exception as error:  # what cannot be pickled
            fine = False
            pipe.send((ticket, fine, RuntimeError(f"a data worker's answer cannot be sent: {error!r} of {result!r}"), told))
        if lending:
            lending.sent(result if fine else None)
        del asked, result


def _answer(compute, lending, task, returned):
    """(whether it went well, what compute(task) gives or raises)."""
    try:
        if lending:
            lending.take_back(returned)
        return True, compute(task)
    except Exception as error:
        if is_out_of_memory(error):
            return False, WorkerLost("the memory does not suffice for a data worker", None, FEWER)
        return False, ExceptionWithTraceback(error, error.__traceback__)


def _loss(status):
    """The WorkerLost of an exit status as Process has it."""
    if status == -signal.SIGBUS:
        return WorkerLost(f"a data worker ended by SIGBUS: it is full ({shared_memory_room()})", SHARED_MEMORY, FULL)
    if status == -signal.SIGKILL:
        return WorkerLost("a data worker was killed (SIGKILL), as the system does when memory runs out", None, FEWER)
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return WorkerLost(f"a data worker ended {how}", None, FEWER)


def shared_memory_room() -> str:
    """What a message says of /dev/shm: how much of it is free."""
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        return error.strerror
    free, size = (blocks * room.f_frsize / 1e6 for blocks in (room.f_bavail, room.f_blocks))
    return f"{free:.3g} MB free of {size:.3g} MB"


def _kill(processes):
    for process in processes:
        process.kill()
    until = time.monotonic() + TO_END
    for process in processes:
        process.join(max(0, until - time.monotonic()))


@contextlib.contextmanager
def _held_back(signals):
    """Signals that come meanwhile are heard afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
