from gluon_bof.visualization.draw import draw_detections as draw_detections, colour_of as colour_of
from gluon_bof.visualization.run_pages import draw_run as draw_run, draw_training_batch as draw_training_batch
from gluon_bof.visualization import anchors as anchors
