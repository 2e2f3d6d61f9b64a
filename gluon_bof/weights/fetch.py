"""Files of GluonCV's model zoo, downloaded once: with a lock, a checksum, and a second try that goes on
where the first was cut."""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import lzma
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib

from tqdm import tqdm

from gluon_bof.backend import gluoncv  # noqa: F401  before GluonCV itself
from gluon_bof.errors import UserError, warn
from gluon_bof.files import digest_of, in_home, write_atomically
from gluon_bof.terminal import ASIDE

from gluoncv.model_zoo.model_store import _model_sha1 as CHECKSUMS
from gluoncv.model_zoo.model_store import _url_format as URL
from gluoncv.model_zoo.model_store import apache_repo_url as SERVER

LARGEST = 1 << 30  # bytes; far above what the networks here need
TIMEOUT = 20  # seconds without a byte
PAUSE = 1  # seconds before the second try, twice as many before each further one
MAX_FAILED_TRIES = 3  # tries that bring nothing before giving up
MIN_PROGRESS = 1 << 20  # bytes that make a try count as one that brought something
BLOCK = 1 << 16
RETRY_STATUS = (408, 425, 429)  # and from 500 on: answers that another try may change
CONNECTION_ERRORS = (socket.timeout, TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError,
       http.client.HTTPException)
# what zipfile raises at a damaged archive or one of another kind
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)


def gluoncv_folder() -> str:
    """GluonCV's folder of model files: $MXNET_HOME/models or ~/.mxnet/models. Raises UserError where nobody says."""
    return in_home(os.path.join(os.environ.get("MXNET_HOME", os.path.join("~", ".mxnet")), "models"), "MXNET_HOME")


def address(stem: str) -> str:
    """Where a file's zip lies: on the mirror that MXNET_GLUON_REPO names, or on MXNet's server."""
    return URL.format(repo_url=(os.environ.get("MXNET_GLUON_REPO") or SERVER).rstrip("/") + "/", file_name=stem)


def fetch_file(name: str, timeout: float, pause: float, otherwise: str) -> str:
    """Path of the .params file of GluonCV's model `name`, a key of CHECKSUMS; downloaded where it is not in the cache yet.

    timeout, pause: in seconds, as for `zoo.download`; otherwise: what the remedy of a failure ends in, "" or "; or …". Raises
    UserError where the file cannot be had or kept."""
    folder, sha1 = gluoncv_folder(), CHECKSUMS[name]
    stem = f"{name}-{sha1[:8]}"
    path = os.path.join(folder, f"{stem}.params")
    by_hand = (f"copy {address(stem)} or the .params file in it into {folder} from a machine that reaches it, or name a mirror "
               f"in MXNET_GLUON_REPO{otherwise}")
    try:
        if _is_whole(path, sha1):
            return path
        os.makedirs(folder, exist_ok=True)
        with _lock(os.path.join(folder, f"{stem}.lock"), name):
            if not _is_whole(path, sha1):  # another process may just have brought it
                _download_to(path, sha1, _Source(stem, timeout, pause, by_hand))
    except OSError as error:
        raise UserError(f"the weights cannot be kept there ({error.strerror})", error.filename or folder,
                        "make room, or name another folder in MXNET_HOME") from None
    return path


def _is_whole(path, sha1):
    try:
        return digest_of(path, hashlib.sha1()).hexdigest() == sha1
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _lock(path, name):
    """One process at a time; GluonCV takes the same lock. The file stays: to remove it would let two in."""
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that downloads {name}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download_to(path, sha1, source):
    """Put the file there: out of a zip that somebody has copied into the folder, or of the downloaded one."""
    if os.path.exists(path):
        warn(f"{path} has another checksum than GluonCV's; it is fetched again")
    copied, part = (os.path.join(os.path.dirname(path), f"{source.stem}.zip{ending}") for ending in ("", ".part"))
    if os.path.exists(copied):
        fault = _unpack(copied, path, sha1)
        if fault is None:
            return
        warn(f"{copied} is not the file that GluonCV published ({fault}); it is fetched again")
    begun = os.path.exists(part)
    source.download(part)
    fault = _unpack(part, path, sha1)
    if fault and begun:  # the beginning was of something else
        os.unlink(part)
        source.download(part)
        fault = _unpack(part, path, sha1)
    os.unlink(part)
    if fault:
        raise UserError(f"what {source.url} sends is not the file that GluonCV published ({fault})", remedy=source.by_hand)


def _unpack(archive, path, sha1):
    """Write the one file that is wanted out of a zip. Returns None, or what is wrong with it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            member = opened.getinfo(os.path.basename(path))
            if member.file_size > LARGEST:
                return f"{member.file_size} bytes are too many"
            data = opened.read(member)
    except KeyError:
        return f"it holds no {os.path.basename(path)}"
    except DAMAGED as error:
        return f"no whole zip: {error}"
    if hashlib.sha1(data).hexdigest() != sha1:
        return "another checksum"
    write_atomically(path, data)
    return None


class _Cut(Exception):
    """A transfer that ended early; the next try may go on."""


class _Source:
    """A zipped file on the server. by_hand: what people can do where it cannot be had."""

    def __init__(self, stem, timeout, pause, by_hand):
        self.stem = stem
        self.url = address(stem)
        self.timeout = timeout
        self.pause = pause
        self.by_hand = by_hand

    def download(self, part):
        """Bring the file into `part`, going on where it ends, again and again while tries bring something."""
        fruitless = 0
        while True:
            before = _size(part)
            try:
                return self._receive(part, before)
            except _Cut as cut:
                fruitless = 0 if _size(part) - before >= MIN_PROGRESS else fruitless + 1
                if fruitless == MAX_FAILED_TRIES:
                    raise self._refusal(cut) from None
                print(f"{self.stem}: {cut}; trying again", file=sys.stderr)
                time.sleep(self.pause * 2 ** max(fruitless - 1, 0))

    def _receive(self, part, offset):
        answer = self._ask(part, offset)
        if answer is None:
            return
        with answer:
            begin, total = _extent(answer)
            if begin not in (0, offset):
                os.unlink(part)
                raise _Cut(f"it was asked for bytes from {offset} on and sent those from {begin} on")
            self._check_size(total or 0)
            received = begin
            with open(part, "ab" if begin else "wb") as file, tqdm(
                    total=total, initial=begin, unit="B", unit_scale=True, file=ASIDE, dynamic_ncols=True,
                    desc=self.stem, mininterval=0.5 if ASIDE.isatty() else 15) as bar:
                for block in self._blocks(answer):
                    received += len(block)
                    self._check_size(received)
                    file.write(block)
                    bar.update(len(block))
        if total is not None and received < total:
            raise _Cut(f"it ended after {received} of {total} bytes")

    def _ask(self, part, offset):
        """The answer to a request for what is missing; None where nothing is."""
        try:
            return urllib.request.urlopen(urllib.request.Request(
                self.url, headers={"User-Agent": "gluon_bof", **({"Range": f"bytes={offset}-"} if offset else {})}),
                timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part has all bytes, or more than there are
                if _number(error.headers.get("Content-Range"), r"bytes \*/(\d+)") == offset:
                    return None
                os.unlink(part)
                raise _Cut("what was there is longer than the file") from None
            if error.code in RETRY_STATUS or error.code >= 500:
                raise _Cut(f"HTTP {error.code} {error.reason}") from None
            raise self._refusal(f"HTTP {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, CONNECTION_ERRORS):
                raise _Cut(_text(reason)) from None
            raise self._refusal(_text(reason)) from None

    def _blocks(self, answer):
        while True:
            try:
                block = answer.read(BLOCK)
            except CONNECTION_ERRORS as error:
                raise _Cut(_text(error)) from None
            if not block:
                return
            yield block

    def _check_size(self, size):
        if size > LARGEST:
            raise self._refusal(f"{size} bytes are too many")

    def _refusal(self, reason):
        return UserError(f"{self.stem} cannot be downloaded ({reason})", remedy=self.by_hand)


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def _extent(answer):
    """(number of the first byte that comes, bytes of the whole file or None) by an answer's headers."""
    length = _number(answer.headers.get("Content-Length"), r"(\d+)")
    if getattr(answer, "status", None) != 206:
        return 0, length
    span = answer.headers.get("Content-Range")
    begin, total = _number(span, r"bytes (\d+)-"), _number(span, r"bytes \d+-\d+/(\d+)")
    return (-1 if begin is None else begin), total


def _number(text, pattern):
    match = re.match(pattern, text or "")
    return int(match.group(1)) if match else None


def _text(error):
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
