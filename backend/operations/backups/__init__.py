"""A copy of the database that can be trusted: taken from one moment, counted, proven, restored and proven again.

Decision: `pg_dump` writes the copy, run by a role that sees every row. Because every table forces row-level security,
its owner included, and a dump by anybody else would be an error at best and a part of the rows at worst. So a backup
asks PostgreSQL first which tables it would see a part of, lets pg_dump refuse once more (it turns row security off,
which makes a filtered read an error), and at last reads the finished file back and counts its rows against those of the
same snapshot. Cost: a role with BYPASSRLS, which the message names where there is none, and reading the file once more.

Decision: a backup is two files, the dump and a manifest beside it, which is written last. Because what names a backup
must come after what it names: a dump without a manifest is none, whatever interrupted it. Cost: two files to copy.
"""
