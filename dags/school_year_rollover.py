"""
### School year rollover

Rehearses the next school year from the calendar's day on: the extracts in the drop folder's `next_year/` go through the
same rules and gates as the night's, beside the current year, of which no row is touched. Each night it tells how
ready every school is and what is missing. From the year's first day on it asks the data person to turn the year.

**When it fails:** read the reason in the log of `rehearse`. A refused file is written again by the SIS into
`next_year/`; then clear `rehearse`. `readiness` and `turn` go on without it; the current year's imports never wait.
"""

from district_airflow import rollover_dag

dag = rollover_dag(schedule="30 3 * * *", doc_md=__doc__)
