"""From recorded scores to a ranking, and what is asked of one.

`board` is the way in: one state of the database, every question about it answered once. Below it `cells` reads
the database, picks and averages scores, and puts configurations in order. Questions about a ranking
have a module each: `headline` (which family is ahead), `compare`, `pareto`, `milestones`, `losses`, `published`.
`student` writes a student with its scores to a folder. `statistics` is pure functions on frames and knows nothing
of the database; `render` turns rankings into text and files. Writing results belongs to `harness.results`, drawing
pages to `leaderboard`; nothing here runs a model or imports torch.
"""
