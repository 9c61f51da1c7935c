"""What `wdr init` chooses by measurement.

Scales of numbers, crosses and count encodings on the sample; settings of the training on files of the same kind.
"""
