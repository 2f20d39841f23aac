"""What lies beside the schedule: models, plugins, hooks, nodes, and what is not built in.

operations.md §1.1, §13. What is not there says so, and why, instead of being an unknown command.
"""
