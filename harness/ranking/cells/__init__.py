"""From recorded scores to the columns of a board: which cells are in scope, what each configuration is called and made of,
and what is missing. Pure functions on frames; `harness.ranking.board` puts them together and keeps what was computed.

frames      the frames that a ranking needs, read from the database in one short connection
scope       the cells that one choice of filters lets through, and their configurations
table       one row a configuration: means, intervals, ranks and notes
settings    settings as dotted paths, and which of them differ
strata      configurations that may be compared: same teacher, text, start and budget
selected    the best of several distillation settings by dev scores
unscored    seeds that failed or were not done, and trials that are still to come
"""
