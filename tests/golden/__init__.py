"""Checks against numbers whose code we did not write. `families.py` says which test module knows which family
of cases.

A new family: add it to `families.py`, and to its module a test marked `@pytest.mark.golden("family")` that
takes `golden_case`.
"""
