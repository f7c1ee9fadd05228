"""What a developer runs: the demo, the matrix, the chaos suite and the README's pictures."""
