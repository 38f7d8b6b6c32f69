"""Load: the gate, and the one transaction that changes a table."""
