"""What lives as long as a crawl: its store and API session, the spider's context, the run record, the progress."""
