"""The importer in plain Python: it knows files, suites and PostgreSQL, and nothing of Airflow."""

from district.dataset import Column, Dataset, DatasetError, Files, Gate, Parent
from district.layout import Layout, LayoutError

__all__ = ["Column", "Dataset", "DatasetError", "Files", "Gate", "Layout", "LayoutError", "Parent"]
