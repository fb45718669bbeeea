"""What finished runs say: records, statistics, tables, figures and the page.

Nothing is imported here, so that `mixlab-compare --help` stays fast and reading runs needs no
torch; only `pictures` (captioned batches) works on tensors.
"""
