"""Our jobs as other programs, or another engine, can read them. Values in, values out."""
