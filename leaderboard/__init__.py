"""The pages on which results are read, drawn with Streamlit.

`app` lists the pages and `views` holds one module each (not `pages/`, which Streamlit would take for its own). What
they share: `data` reads the database, `opening` is how each page begins, `filters` are bound to the query string,
`figures` makes charts from frames, `theme` says what each colour means, `wording` names rows. Numbers are computed in
`harness.ranking`, not here; no page loads torch.
"""
