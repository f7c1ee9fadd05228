"""What operators and sensors share: what survives a deferral, and errors that end a task for good."""
