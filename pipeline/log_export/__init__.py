"""`wdr export-log`: sealed files of the serving log, and of events, as Parquet by hour."""
