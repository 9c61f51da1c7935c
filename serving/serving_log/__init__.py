"""The serving log: what was asked, what was answered, in which order, with what chance, by which version.

    rank service ──┐                       one file a process, sealed by rename
    ranking client ┴► record ► ServingLog ► frames ──► reader ► the log's reader

A record is written where the decision is made. `record` is the message, `request_ids` the ids that callers cannot
forge, `frames` the file format, `reader` what yields the records of files and counts what it cannot read. Nothing here
imports more than protobuf and the standard library: the modules are part of the client's wheel.
"""
