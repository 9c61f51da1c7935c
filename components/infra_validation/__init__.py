"""Infra validation: a dry run of the exported model in a separate process, before it may be pushed."""
