"""The log: lines in files of their own day, short lines on the console, no secret in either.

operations.md §11. `setup` sends every record to both, beside the loop; `redaction` takes secrets
out; `lines` is how a record looks; `files` is where it lies; `reading` is how it is read again.
"""
