"""The local channel: a durable inbox on this machine and an event for whoever listens.

channels.md §13. It needs no account, its sends are idempotent by key, and nothing but the
disk can make one fail.
"""
