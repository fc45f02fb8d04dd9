"""``python -m mammogan``: the command line where the script ``mammogan`` is not installed."""

from mammogan.command_line import start

if __name__ == "__main__":
    start()
