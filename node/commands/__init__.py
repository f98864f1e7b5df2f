"""The command line's commands, one file per group. They parse, call the SDK, and show."""
