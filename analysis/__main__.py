"""``python -m analysis``: the command line."""

from analysis.commands.app import main

if __name__ == "__main__":
    main()
