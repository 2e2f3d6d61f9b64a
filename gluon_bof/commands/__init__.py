"""What the command line says, one thin file a command: text to options, one call of the library, text."""

# command: what it does, in the order of a user's day. Its module has main(argv) -> exit status and build_parser()
COMMANDS = {
    "check": "read a whole data set and report its faults",
    "convert": "write a data set in another layout: VOC's, COCO's or YOLO's",
    "anchors": "fit YOLOv3's anchors to a data set's boxes",
    "train": "train a network: train yolo3 …, faster_rcnn …, ssd …, mask_rcnn …, segmentation …",
    "launch": "train in several processes, on this machine or on several",
    "evaluate": "score weights on a data set",
    "report": "set runs side by side on a page",
    "predict": "draw and write down what a network finds in images and videos",
    "export": "write a network as ONNX, or as MXNet's symbol and parameters",
    "weights": "import other programs' weights, or show what a file holds",
    "capacity": "fit power laws to a network's weights: their capacity, without any data",
    "minibatch": "measure how far each mini-batch's gradient is from the full gradient",
    "pretrain": "train a backbone as a classifier, for --pretrained-base",
    "table": "train, evaluate and write down a table of the paper",
    "figure": "draw a figure of the paper, 1 to 9, or one of four others",
    "completion": "print the completion of flags for bash, zsh or tcsh",
}
