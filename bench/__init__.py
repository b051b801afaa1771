"""What is asked: the case table, one test file per experiment of the paper, and the report."""
