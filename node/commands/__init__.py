"""The command line's commands, one file per group. They parse, call the SDK or a service, and show; nothing else."""
