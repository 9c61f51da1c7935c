"""The dry run of the exported model in a process of its own, before it may be pushed."""
