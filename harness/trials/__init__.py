"""The kinds of trial side by side: each takes an `Attempt` and leaves a result in the trial's folder.

The steps of a kind, top to bottom, belong here, and so does loading the model that a trial starts from. Training itself
is in `harness.training`; models, corpora and tasks have rooms of their own; which trials run where is decided by
`harness.schedule`.

run             runs trials: returns recorded successes, tries failures again in smaller cohorts or in fp32
prepare         adapts a teacher to the corpus by masked-LM training
distil          trains the students of one cohort
start           exports a student that no method trains
finetune        fine-tunes one model on one task; finetune_rows chooses the rows
retrieve        scores cross-lingual retrieval, without training
analyse         compares a student with its teacher on held-out text
measure         measures size, speed and memory of one architecture
halving         which fine-tuning settings go on to the next rung
load            the model a trial starts from: fetched, loaded, trimmed
card            how a model was trained, for its card
untrained       which parts of a model no step has changed
unseen          which inputs a student was never trained on
"""
