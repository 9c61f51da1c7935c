"""Scores a request's candidates without computing anything twice.

    context ──► its summands ──┐
                               ├──► + what depends on both ──► hidden layers ──► logits ──► items, best first
    item ids ─► catalog rows ──┘

The wide logit is a sum, and so is the first hidden layer's product: of the context's part, the item's part, and the
part of crosses and counts that depend on both. The context's is computed once per request, the items' once at export.
"""
