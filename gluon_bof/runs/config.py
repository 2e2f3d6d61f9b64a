"""A run's configuration: what config.json and classes.txt of its folder say."""
from __future__ import annotations

import json
import os

from gluon_bof.errors import UserError

CONFIG = "config.json"  # a run's files that other commands read
CLASSES = "classes.txt"


def is_run(folder):
    """Whether a folder holds a run's configuration, be it a damaged one; other programs have files of that name too."""
    try:
        with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
            content = json.load(file)
    except OSError:
        return False
    except (ValueError, RecursionError):
        return True
    return not isinstance(content, dict) or "options" in content


def read_config(folder):
    """{"options": …, …} of a run's folder. Raises UserError."""
    path = os.path.join(folder, CONFIG)
    try:
        with open(path) as file:
            configuration = json.load(file)
        if not isinstance(configuration["options"], dict):
            raise ValueError("options is no object")
        return configuration
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the run's configuration cannot be read ({error})", path, "is this a run's folder?") from None
