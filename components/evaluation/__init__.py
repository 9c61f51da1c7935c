"""Extensions of TFMA for ranking models: metrics per request, and standard errors of metrics and their changes."""
