"""Where bytes come from, and what they become: assets on disk, corpora as token blocks, tasks as labelled rows.

`assets` (archives, package indexes, the hub) knows nothing of text; `corpora` and `tasks` know nothing of models.
Torch is imported by `stream` alone.
"""
