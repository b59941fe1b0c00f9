"""Tasks in this process, for tests and for programs that need no database."""
