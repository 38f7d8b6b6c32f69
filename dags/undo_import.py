"""
### Undo an import

Takes back one load of one data set: the rows that it changed become again what they were before it. Press *Trigger*,
give the run's number (it stands in the note of the data set's run) and a reason. Only people whom the settings file
names for the data set may. The same file does not load again by itself.

**When it fails:** nothing was undone. The run's note says why: the number is wrong, the run loaded nothing, later loads
touched its rows (how many, by school), or you may not decide about this data set. If another run of the data set is
loading, it tries again by itself.
"""

from district_airflow import undo_dag

dag = undo_dag(doc_md=__doc__)
