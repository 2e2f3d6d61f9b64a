"""python -m gluon_bof COMMAND: a command's module is imported only when it runs."""
import importlib
import sys

from gluon_bof.errors import UserError, user_facing

# command: (module with a main(argv), what it does)
COMMANDS = {
    "evaluate": ("gluon_bof.commands.evaluate", "score weights on a data set"),
    "table": ("gluon_bof.commands.table", "train, evaluate and write down a table of the paper"),
    "figure": ("gluon_bof.commands.figure", "draw a figure of the paper, 1 to 9"),
    "pretrain": ("gluon_bof.commands.pretrain", "train a backbone as a classifier, for --pretrained-base"),
    "anchors": ("gluon_bof.commands.anchors", "fit YOLOv3's anchors to a data set's boxes"),
    "predict": ("gluon_bof.commands.predict", "draw and write down what a network finds in images and videos"),
    "export": ("gluon_bof.commands.export", "write a network as ONNX, or as MXNet's symbol and parameters"),
    "weights": ("gluon_bof.commands.weights", "import other programs' weights, or show what a file holds"),
    "check": ("gluon_bof.commands.check", "read a whole data set and report its faults"),
}


@user_facing
def main(argv=None):
    """Run one command. Raises SystemExit with its status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print("python -m gluon_bof COMMAND …, COMMAND --help tells more\n")
        for name, (_, text) in COMMANDS.items():
            print(f"  {name:10} {text}")
        return
    if argv[0] not in COMMANDS:
        raise UserError(f"unknown command {argv[0]!r}", remedy=f"choose one of {', '.join(COMMANDS)}")
    raise SystemExit(importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:]))


if __name__ == "__main__":
    main()
