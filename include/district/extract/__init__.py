"""Extract: from a file in the drop folder to typed rows in staging."""
