"""From YAML text to checked values that remember their place in the file. Nothing in the text is ever executed, and every
mistake is reported as `file:line:col: what is wrong; what would be right`.

source       text to plain data with the line and column of every node
overrides    `--set path=value`, applied before validation
validation   plain data against a model: the model's instance, or every mistake with its place
reference    JSON Schema for editors and the reference page, generated from the models
"""
