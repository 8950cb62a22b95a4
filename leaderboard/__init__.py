"""The pages on which results are read, drawn with Streamlit.

`app` lists the pages and `views` holds one module each (not `pages/`, which Streamlit would take for its own). What
they share: `present` reads the database, `page` is how each page begins and what it leaves out, `filters` are bound to
the query string, `figures` and `scatter` make charts from frames, `ranking_table` is the table of the first page, `links`
lead from page to page, `theme` says what each colour means, `wording` names rows. Numbers are computed in
`harness.ranking`, not here; no page loads torch. `study` writes docs/study.md from the board that ships.
"""
