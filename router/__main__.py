"""``python -m router``: the command line, for children that know only their interpreter."""

from router.cli import main

if __name__ == "__main__":
    main()
