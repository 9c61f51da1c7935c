"""TF Serving's API over gRPC and over REST with its JSON, and the counts of the requests."""
