"""The crawlers that ours is measured against: programs of their own, none of which knows this project."""
