"""What several tests share: real servers, and waiting for what a test expects."""
