"""From YAML to a resolved spec: what a user may write, checked, with the line of every mistake.

yaml             text to checked models that remember their place; `--set`; the reference of all keys
schema           the spec
entries          methods, students, teachers, corpora, tasks
initialisation   what a student's weights start from
recipes          settings of each kind of trial
catalog          entries by name
languages        sets of languages by name
resolve          every name replaced by its entry
grid             every combination of the axes
selecting        the best of several settings: which axes are chosen from
checks           combinations that cannot work
shipped          checkpoints that are on this machine already: do they fit?
normal_forms     one form in ids for what is written differently
plugins          which entries of installed packages a trial uses

Trials, ids and costs belong to `harness.plan`. Nothing here loads torch or fetches anything."""
