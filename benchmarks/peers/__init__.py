"""One module per way to load the same file, each as its own documentation advises."""
