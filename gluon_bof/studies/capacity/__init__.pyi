from gluon_bof.studies.capacity.report import Report as Report, analyze as analyze
from gluon_bof.studies.capacity.fit import PowerLaw as PowerLaw, fit_power_law as fit_power_law
from gluon_bof.studies.capacity.spectrum import esd as esd
from gluon_bof.studies.capacity.correlation import Correlation as Correlation, Model as Model, correlate as correlate
from gluon_bof.studies.capacity.paths import log_path_norm as log_path_norm
from gluon_bof.studies.capacity.conventions import CONVENTIONS as CONVENTIONS, Convention as Convention
