"""What lives as long as a crawl: the API session, the run record, the progress display."""
