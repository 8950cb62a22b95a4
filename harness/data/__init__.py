"""Where bytes come from and what they become: assets on disk, corpora as token blocks, tasks as rows.

`assets` (archives, package indexes, the hub) knows nothing of text; `corpora` and `tasks` nothing of models.
Torch is imported by `stream` alone.
"""
