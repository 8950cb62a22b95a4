"""Transformer encoders: built, loaded from folders, copied into students, tapped, given heads, exported.

Everything here works for any family of `harness.families`, through transformers' own classes. Nothing here fetches a
file, reads a corpus or trains.

random_encoder        encoders of random weights from a config
configs               configs of another size or dropout
loaded                a model with its tokenizer, as loaded
loading               loads a checkpoint's folder
e5_q4                 reads multilingual-e5-small from its 4-bit file
vocabulary            trims a model and its tokenizer to fewer pieces
students              builds a student of a teacher
projected_start       a student's first weights, from those of a teacher as wide or wider
principal_directions  of the rows of an embedding
taps                  runs an encoder and returns what an objective reads of it
classify              heads for evaluation, and mean-pooled sentence vectors
first_token           computes of the last layer only what a classifier reads
reached               keeps only the embedding rows that a data set can reach
export                writes a model folder with its card
"""
