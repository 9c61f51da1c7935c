"""Every number that the documents quote, one command each."""
