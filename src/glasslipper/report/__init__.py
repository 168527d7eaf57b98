"""The study of the ledger's own traffic: sections, their claims, and the page.

    with Lake(home) as lake:
        study = Study(lake, Options(), Catalogue())
        html = page(build(study))

Import from the modules themselves: a process that only draws charts loads nothing else.
"""
