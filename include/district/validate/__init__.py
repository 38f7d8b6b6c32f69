"""Validate: every staged row gets its fate, from the data set's own rules and its suite."""
