"""What others learn of a task, after the fact: metrics, traces and lineage."""
