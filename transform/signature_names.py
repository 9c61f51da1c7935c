"""The names of a SavedModel's signatures, their inputs and outputs, shared by the trainer's export and the clients.

| signature | inputs | outputs |
|---|---|---|
| `serving_default` | `examples`, string `[batch]`: serialized raw tf.Examples, context and item features in each | `scores`, float32 `[batch]` |
| `classify` | `inputs`, as `examples` | `classes`, string `[batch, 2]`: `0` and `1`; `scores`, float32 `[batch, 2]` |
| `regress` | `inputs`, as `examples` | `outputs`, float32 `[batch]`: the scores |
| `rank` | `context`, string `[requests]`: a serialized tf.Example of the context features; `item_ids`, string `[requests, candidates]` | `item_ids`, string, best first; `scores`, `wide_logits`, `deep_logits`, float32; `in_catalog`, bool; each `[requests, candidates]`; `unknown_context` and `catalog_digest`, string `[requests]` |
| `rank_items` | those of `rank`, and `items`, string `[requests, candidates]`: a serialized tf.Example of the item features | as `rank` |
| `rank_named` | those of `rank`, with one tensor per context feature in place of `context` | as `rank` |
| `transform_features` | `examples` | the transformed features |
| `explain` | `examples` | of each row, what its logit consists of: see below |
| `explain_items` | those of `rank_items` | the same of each candidate, `[requests, candidates]` in place of `[batch]`, in the order of the inputs |

If the requests of one call have different numbers of candidates, the shorter ones are padded with the empty item id,
which is sorted last with score 0. `in_catalog` is whether the model's catalog has the item; an item that it lacks is
scored by its `items` entry or, without one, with all item features but its id missing. A model whose catalog lacks item
features has no such output. For an empty `items` entry, the item is taken from the model's own catalog; in a model
without `rank`, whose catalog lacks item features, it is an error. In `rank_named`, a feature is string or float32,
`[requests]`, or `[requests, values]` for a list; an empty string or NaN means no value.

`unknown_context` has the names, separated by spaces, of the context features whose value their vocabulary lacks: only
categorical features that are not lists, not derived, and not read by crosses alone, and whose vocabulary has at most 256
tokens and is no item feature's too. A model without such a feature, or of an earlier release, has no such output.

`catalog_digest` has the digest of the snapshot of the catalog that the model has
(`transform.files.version_layout.catalog_digest`), the same for each request, so that a log of requests says where the
features of items sent by id are. A model whose catalog lacks item features, or of an earlier release, has no such output.

An explanation's outputs are `scores`, `bias`, `deep_logits`, `deep_baseline_logits` and `deep_gaps`, float32 `[batch]`;
`wide_features` and `wide_values`, string, and `wide_weights`, float32, `[batch, terms]`: the weights of the wide part
that are not zero, the strongest first, padded with empty texts and zeros; `deep_features` and `deep_values`, string, and
`deep_attributions`, float32, `[batch, features]`. The row's logit is bias + Σ wide_weights + deep_logits, and
deep_logits is deep_baseline_logits + Σ deep_attributions + deep_gaps (`trainer.explanations`).

`transform.ranking.absent_signatures` returns which of the three ranking signatures a config does not have, and why.
"""  # noqa: E501

SERVING_SIGNATURE = "serving_default"
CLASSIFY_SIGNATURE = "classify"
REGRESS_SIGNATURE = "regress"
RANK_SIGNATURE = "rank"
RANK_ITEMS_SIGNATURE = "rank_items"
RANK_NAMED_SIGNATURE = "rank_named"
TRANSFORM_SIGNATURE = "transform_features"

#: A transformed feature has its own name with this behind it. In the outputs of `TRANSFORM_SIGNATURE` a sparse one has
#: three components, whose names have a slash and the component behind it.
TRANSFORMED_SUFFIX = "_xf"

EXAMPLES_INPUT = "examples"
SCORES_OUTPUT = "scores"

#: TF Serving's own names, for Classify and Regress.
INPUTS = "inputs"
CLASSES_OUTPUT = "classes"
REGRESSION_OUTPUT = "outputs"

CONTEXT_INPUT = "context"
ITEM_IDS = "item_ids"
ITEMS_INPUT = "items"
WIDE_LOGITS_OUTPUT = "wide_logits"
DEEP_LOGITS_OUTPUT = "deep_logits"
IN_CATALOG_OUTPUT = "in_catalog"
UNKNOWN_CONTEXT_OUTPUT = "unknown_context"
CATALOG_DIGEST_OUTPUT = "catalog_digest"

EXPLAIN_SIGNATURE = "explain"
EXPLAIN_ITEMS_SIGNATURE = "explain_items"

BIAS_OUTPUT = "bias"
WIDE_FEATURES_OUTPUT = "wide_features"
WIDE_VALUES_OUTPUT = "wide_values"
WIDE_WEIGHTS_OUTPUT = "wide_weights"
DEEP_FEATURES_OUTPUT = "deep_features"
DEEP_VALUES_OUTPUT = "deep_values"
DEEP_ATTRIBUTIONS_OUTPUT = "deep_attributions"
DEEP_BASELINE_LOGITS_OUTPUT = "deep_baseline_logits"
DEEP_GAPS_OUTPUT = "deep_gaps"

#: The most rows, or candidates, that one call may explain.
MAX_EXPLAINED = 100
