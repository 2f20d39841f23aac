"""The status page: what a person wants to see at a glance, read-mostly (protocol.md §11)."""
