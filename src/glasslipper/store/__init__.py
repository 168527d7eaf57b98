"""Where things lie and how they last: places on disk, connections, migrations, leases, commits.

The only room that knows the database driver. It knows no business: what a table means is the
affair of the room that migrates it.
"""
