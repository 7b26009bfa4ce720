"""``python -m coldstart`` is the ``coldstart`` command."""

from coldstart.cli import main

if __name__ == "__main__":
    main()
