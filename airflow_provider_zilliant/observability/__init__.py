"""What a task reports: metrics, traces and lineage."""
