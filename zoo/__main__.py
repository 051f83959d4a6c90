"""``python -m zoo`` is the command too."""

import sys

from zoo.cli import main

if __name__ == "__main__":
    status = main()
    # Where Ctrl-C came within an exec, as that which makes a dataclass, CPython would end a module as killed, whatever
    # its status, though the KeyboardInterrupt was caught; the next exec has it forget that.
    exec("")
    sys.exit(status)
