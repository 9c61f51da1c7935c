"""Every number that README quotes, one command each."""
