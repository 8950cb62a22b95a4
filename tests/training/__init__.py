"""A tiny world to train in: real files, real tokenizer, real models, nothing replaced."""
