"""A verified MongoDB connection, the embedded server, outages. It knows no collection."""
