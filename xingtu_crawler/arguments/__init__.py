"""What a user types after `-a`: filters, ranges, ids, files, queries. Read into plain values before the first call."""
