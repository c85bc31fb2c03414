"""The top floor: processes. The command line, the server, and the wiring of concrete backends."""
