"""``python -m analysis``: the command line, as ``python -m shiftscope``."""

from runpy import run_module

if __name__ == "__main__":
    run_module("shiftscope", run_name="__main__")
