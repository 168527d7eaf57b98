"""`python -m glasslipper` is `glasslipper`."""

from glasslipper.cli import main

if __name__ == "__main__":
    main()
