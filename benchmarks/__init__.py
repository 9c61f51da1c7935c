<<<<<<< HEAD
"""Benchmarks: one command for each number that README quotes."""
=======
"""Every number that the documents quote, one command each."""
>>>>>>> 01738165bd4823612d4a7f64ef56bfa54dd41553
