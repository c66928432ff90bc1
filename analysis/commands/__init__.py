"""The command line: one file a command, the application and `main` in :mod:`analysis.commands.app`."""
