"""What happened, as typed values, and the stream of it; imports no loop."""
