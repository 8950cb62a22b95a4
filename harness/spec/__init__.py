"""From YAML to a resolved spec: what a user may write, checked, with the line of every mistake.

    source.py       YAML with the place of every key      validation.py   a document against a model, mistakes by line
    schema.py       the spec                              entries.py      methods, students, teachers, corpora, tasks
    recipes.py      settings of each kind of trial        catalog.py      entries by name
    resolve.py      every name replaced by its entry      overrides.py    `--set dotted.path=value`
    grid.py         every combination of the axes         checks.py       combinations that cannot work
    normal_forms.py spellings that ask one question       plugins.py      entries of installed packages that a job uses
    reference.py    the reference of all keys

Trials, ids and costs belong to `harness.plan`. Nothing here loads torch or fetches anything."""
