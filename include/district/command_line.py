"""The ``district`` command: the same steps as the DAGs, by hand, without Airflow."""

from __future__ import annotations

from district.commands import files, people, running, year  # noqa: F401 - each adds its commands to the app
from district.commands.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The console script."""
    app(prog_name="district")


if __name__ == "__main__":
    main()
