"""The tables beside a page (docs/reference/tables.md): a module each says what stands in its rows.

They are made for other programs. Names stand in them as they are, but for hidden characters, which
are written out as everywhere, so that a table joins with every other one; a name that begins with
an equals sign is not changed, though a spreadsheet would take it for a formula.
"""
