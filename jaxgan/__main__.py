"""Lets ``python -m jaxgan`` run the ``jaxgan`` command."""

from jaxgan.cli import main

if __name__ == "__main__":
    main()
