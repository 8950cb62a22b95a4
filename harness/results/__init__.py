"""Results of finished trials: their folders, the database that indexes these, and what keeps both consistent.

`store` reads and writes the database, with its tables and versions in `database`, rows built in `tables`, connections
in `connect`, lock holders in `holders`, keys renewed in `renaming` and the choice of fine-tuning settings in
`selection`. `verify` compares folders and database, `bundle` shares results, `shipped_board` holds the
bundles that ship, `gc` removes what nothing needs,
`predictions` reads what fine-tuning trials predicted, `in_progress` looks at running trials, `left_out` at tasks
without data. What a record *is* belongs to `harness.records`; averages, ranks and everything readers see belong to
`harness.ranking`. Nothing here runs a model or imports torch.
"""
