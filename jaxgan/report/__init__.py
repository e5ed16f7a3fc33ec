"""What a person looks at: a page about runs in one file, and the comparison of two runs."""
