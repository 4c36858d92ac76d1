"""From a file to float32 arrays: tables, schema, agreement between sites, partition, split, preprocessing.

Modules here are imported one by one; pandas is imported only by those that read a table.
"""
