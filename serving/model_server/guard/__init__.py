"""What keeps one caller, file or folder from harming the others: limits, fairness, time limits, TLS and tokens."""
