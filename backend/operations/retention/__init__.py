"""What may leave the database after years, and how it goes without holding a writer up.

Decision: ledger, orders and audit trail are neither partitioned nor indexed by BRIN. Because measurement says that it
does not pay. Measured on PostgreSQL 18 with 1,020,000 movements and 1,470,000 audit rows of one hospital:

    movements, newest 50                B-tree 14 pages, 0.2 ms       BRIN 23,765 pages, 300 ms: it has no order
    audit rows of a stretch of time     B-tree 17 pages, 0.9 ms       BRIN 4,415 pages, 52 ms
    size of these indexes               B-tree 96 MB and 10 MB        BRIN 40 kB and 184 kB, of 2.5 GB in all
    last movement of a shelf            whole 4 pages, plan 0.2 ms    31 partitions 90 pages, plan 17 ms the first time
    newest 50 of a shelf                whole 12 pages                31 partitions 54 pages
    a movement by its id                whole 4 pages                 31 partitions 42 pages
    INSERT of 1,020,000 movements       whole 41 s                    31 partitions 46 s

And a unique key of a partitioned table must hold the partition's column: that each movement of a shelf has its own
number, and that one dose takes a lot once, would no longer be rules of the database. Cost: these tables grow, and a
VACUUM reads what has changed of the whole of them. Where one hospital has some 100,000,000 rows, or many share a
server, distribute by organization_id, which every key begins with, rather than by time.
"""
