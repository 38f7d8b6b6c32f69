"""The ``district`` command as a person runs it."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from district.command_line import app


def run(*arguments: str) -> Result:
    """What the command says, and its exit status."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    # SystemExit is how a command ends; anything else would be a traceback.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result
