"""What is wrong with a data set: copies, leaks between splits, outliers, broken files. kgen-data prints the report."""
