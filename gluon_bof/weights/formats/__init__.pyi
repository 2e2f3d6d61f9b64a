from gluon_bof.weights.formats import params as params, darknet as darknet, safetensors as safetensors, checkpoint as checkpoint
