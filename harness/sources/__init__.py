"""Where scores come from: stores, CSV and Parquet files, and what is imported from others."""
