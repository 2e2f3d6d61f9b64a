"""Errors of the user: what is wrong, in which file, and the remedy. They end a command with exit status 2."""
import functools
import sys

EXIT_STATUS = 2
INTERRUPTED = 130  # what a shell gives for Ctrl-C


class UserError(Exception):
    """Something the user can fix. `path` names the file at fault, `remedy` says what to do about it."""

    def __init__(self, problem, path=None, remedy=None):
        super().__init__(problem, path, remedy)  # all three, so that it survives the way back from a worker process
        self.problem = problem
        self.path = path
        self.remedy = remedy

    def __str__(self):
        text = f"{self.path}: {self.problem}" if self.path else str(self.problem)
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return printable(" ".join(text.split()))  # one line, whatever the parts held


def printable(text):
    """The text with escapes for what would steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def user_facing(main):
    """Turn a `UserError`, and an operating system's refusal of a file, into one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a locale that knows few characters gets the others as numbers
                stream.reconfigure(errors="backslashreplace")
        try:
            return main(*args, **kwargs)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        except UserError as error:
            message = str(error)
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            message = str(UserError(error.strerror or str(error), error.filename,
                                    "check that the place exists, may be written and has room"))
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(EXIT_STATUS)

    return wrapper


def warn(message):
    """A line for people."""
    print(f"warning: {message}", file=sys.stderr)
