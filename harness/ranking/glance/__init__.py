"""What a reader sees first of a ranking: who is first and how surely, the answer that a page opens with, what is left
out, and how to get a student.

What belongs here is a sentence or a command made from a ranking. Statistics, tables and files do not: see
`harness.ranking.statistics` and `harness.ranking.render`.
"""
