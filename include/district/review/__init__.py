"""Review: what waits for a person, what the person decided, and whether a load may rely on it."""
