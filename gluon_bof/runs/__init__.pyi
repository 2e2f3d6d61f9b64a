from gluon_bof.runs.folder import Run as Run, RunFolder as RunFolder
from gluon_bof.runs.opening import create_run as create_run, find_run as find_run, reopen_run as reopen_run
from gluon_bof.runs.config import is_run as is_run, read_config as read_config, read_options as read_options
