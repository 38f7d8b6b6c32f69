"""The ``district`` command, by what it is about."""
