"""The district on one machine: its own PostgreSQL, mail catcher and Airflow, all under one folder."""
