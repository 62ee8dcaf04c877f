"""Who signs in, and as whom of the directory: `Person` with the capacities they have."""
