"""Arguments of the spiders (`-a NAME=VALUE`): filters, ranges, ids, files; read into plain values before any call."""
