"""The log of served rankings as a source: which files are whole, and which candidates the events say were shown."""
