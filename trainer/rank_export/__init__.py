"""Scores a request's candidates so that nothing is computed twice.

    context ──► its summands ──┐
                               ├──► + what depends on both ──► hidden layers ──► logits ──► items, best first
    item ids ─► catalog rows ──┘

The wide logit is a sum, and so is the first hidden layer's product: of the context's part, the item's, and that of
crosses and counts which depend on both. The context's is computed once a request, the items' once at export.
"""
