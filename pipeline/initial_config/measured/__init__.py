"""What `wdr init` chooses by a measurement on the sample: scales of numbers, crosses, count
encodings; and the settings that were measured to help on files of the same kind.
"""
