"""The task's life: submit, remember, wait, report."""
