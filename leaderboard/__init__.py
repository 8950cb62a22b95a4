"""The pages on which results are read: Streamlit around `harness.results`, and no torch.

`app.py` lists the pages, `views/` holds one module each (not `pages/`, which Streamlit would take for its
own), `data.py` reads the database, `filters.py` the query string, `figures.py` makes charts from frames,
`theme.py` says what each colour means. Numbers are made in `harness.results`.
"""
