from gluon_bof.studies.minibatch.metrics import METRICS as METRICS, Metric as Metric, score_all as score_all
from gluon_bof.studies.minibatch.partition import (
    class_entropies as class_entropies, cut as cut, random_partition as random_partition, ranking as ranking)
from gluon_bof.studies.minibatch.gradients import Gradients as Gradients
from gluon_bof.studies.minibatch.probe import Parts as Parts, Probe as Probe
from gluon_bof.studies.minibatch.measure import described as described, probe_task as probe_task
from gluon_bof.studies.minibatch.compare import differences as differences, interval as interval
