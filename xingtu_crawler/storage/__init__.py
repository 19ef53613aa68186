"""MongoDB: the embedded server, the verified connection, collections, bulk writes and history. No Scrapy in here."""
