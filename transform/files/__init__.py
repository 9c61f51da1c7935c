"""The files that one part of the project writes and another reads, and the formats they are in."""
