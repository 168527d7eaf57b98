"""The lake: what the ledger looks like once it is sealed, for those who write it and who read it.

    columns   the columns of the sealed tables, and how a record's JSON becomes them
    views     the tables that studies see, over sealed and hot rows alike
    rollups   the sums that are made of each segment, once
    segments  which files are in the lake: names, manifests, checksums

A segment is a folder of immutable Parquet files and a manifest, which is written last: a segment
without a manifest does not exist. Knows the SQL of all this; opens no connection.
"""
