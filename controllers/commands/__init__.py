"""The commands of the command line, one file each: `add_arguments(parser)` and `main(args) -> exit code`.

Each is imported only when it is given. `--json` prints one JSON value on standard output; everything for people that is
not the answer (progress, warnings) goes to standard error.
"""
