"""What the studies of quality share: runs that are reused, their evaluations, and the tables that come of them."""
