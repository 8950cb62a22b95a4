"""Results of finished trials: the folders they lie in, the database that indexes them, and what keeps both in order.

`store` is the database, with its tables and versions in `schema`, rows made in `tables`, connections in `connect` and
the choice of fine-tuning settings in `selection`. `verify` compares folders and database, `bundle` passes results on,
`gc` removes what nothing needs, `in_progress` looks at trials under way. What a record *is* belongs to
`harness.records`; averages, ranks and everything readers see belong to `harness.ranking`. Nothing here runs a model
or imports torch.
"""
