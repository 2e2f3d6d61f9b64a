from gluon_bof._version import __version__ as __version__
from gluon_bof.api import evaluate as evaluate, load as load, open_dataset as open_dataset, recipes as recipes, train as train
from gluon_bof.errors import UserError as UserError
from gluon_bof import (
    boxes as boxes, data as data, evaluation as evaluation, freebies as freebies, inference as inference, masks as masks,
    models as models, options as options, runs as runs, studies as studies, training as training, visualization as visualization,
    weights as weights)
