"""The learned orchestrator: which model takes the next step of a task, and when to stop.

A *policy* learns from outcomes (what models answered to tasks whose right answers are known) and
then conducts episodes: it asks a model, reads the answer, and asks on or stops. Puppets are
a model by a pattern; here they are columns of a table, and whoever runs real ones names them.
"""
