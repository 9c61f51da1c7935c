"""Explains a score: what each weight of the wide part, and each feature of the deep part, adds to the logit.

logit = bias + Σ weights of the wide part + deep logit                                  (exact)
deep logit = deep logit of the baseline + Σ attributions of the features + gap          (integrated gradients)
"""
