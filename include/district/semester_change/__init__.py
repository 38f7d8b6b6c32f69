"""Semester change: the nights around a new term, judged more strictly, and loaded after two people have looked."""
